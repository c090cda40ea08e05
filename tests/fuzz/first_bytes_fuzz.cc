// Any first bytes on any kind of port: HTTP/1.1, HTTP/2 by its preface or parts of it, TLS where
// none is spoken and none where TLS is. The first byte of the input chooses the port.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tests/fuzz/listener.h"

namespace {

using outrigger::fuzz::Listener;
using outrigger::fuzz::Require;

constexpr auto kPorts = static_cast<size_t>(Listener::Port::kCount);

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<Listener> listeners[kPorts];
  if (size == 0) return 0;
  const size_t index = data[0] % kPorts;
  if (listeners[index] == nullptr) {
    listeners[index] = std::make_unique<Listener>(static_cast<Listener::Port>(index));
  }
  Listener& listener = *listeners[index];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string answer = listener.Feed(bytes, std::hash<std::string_view>()(bytes));
  switch (static_cast<Listener::Port>(index)) {
    case Listener::Port::kHttp1:
      Require(answer.empty() || answer.starts_with("HTTP/1."), "an answer that is not HTTP/1");
      break;
    case Listener::Port::kHttp2:
      Require(answer.size() < 4 || answer[3] == 4, "an answer that is not HTTP/2");
      break;
    case Listener::Port::kTls:
      // An answer of HTTP/1 tells a client that it forgot to encrypt.
      Require(listener.requests() == 0 || answer.starts_with('\x16'),
              "a request without a handshake");
      break;
    case Listener::Port::kTlsHttp2:
      Require(!answer.starts_with("HTTP/"), "an answer in the clear");
      Require(listener.requests() == 0 || answer.starts_with('\x16'),
              "a request without a handshake");
      break;
    default:
      break;
  }
  return 0;
}
