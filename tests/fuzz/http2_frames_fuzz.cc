// Any frames behind the preface of HTTP/2, into the server side of a connection. The input is what
// a client sends, the preface left out; it decides in which pieces it arrives.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "tests/fuzz/listener.h"

namespace {

using outrigger::fuzz::Listener;
using outrigger::fuzz::Require;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kFrameHeadBytes = 9;
constexpr size_t kMaxFrameBytes = 16384;

// What comes back is frames, whatever was sent.
void CheckFrames(std::string_view bytes) {
  bool is_first = true;
  while (bytes.size() >= kFrameHeadBytes) {
    const auto at = [&bytes](size_t i) {
      return static_cast<size_t>(static_cast<uint8_t>(bytes[i]));
    };
    const size_t length = at(0) << 16 | at(1) << 8 | at(2);
    Require(length <= kMaxFrameBytes, "a frame is too large");
    Require(!is_first || at(3) == 4, "the first frame is not SETTINGS");
    is_first = false;
    if (bytes.size() < kFrameHeadBytes + length) return;  // the client left
    bytes.remove_prefix(kFrameHeadBytes + length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Listener* const listener = new Listener(Listener::Port::kHttp2);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckFrames(
      listener->Feed(std::string(kPreface).append(bytes), std::hash<std::string_view>()(bytes)));
  return 0;
}
