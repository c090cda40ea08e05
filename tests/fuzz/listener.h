// The server side of the codecs behind a socketpair, for the fuzz targets: connections as a worker
// makes them, handlers that read what they are asked and answer with it.
//
//   Listener listener(Listener::Port::kAuto);
//   listener.Feed(bytes);            // one connection, from its first byte to its end
//
// One thread. What is not given back, an answer that is not due, or a connection that does not end
// aborts the process.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace outrigger::fuzz {

class Listener {
 public:
  enum class Port : uint8_t { kHttp1, kAuto, kHttp2, kTls, kTlsHttp2, kCount };

  explicit Listener(Port port);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // `seed` decides in which pieces the bytes arrive and how the client leaves. Returns what came
  // back.
  std::string Feed(std::string_view bytes, uint64_t seed);
  // Requests whose handler was started by the last Feed().
  size_t requests() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

// For fuzz targets: the message and the end of the process when `holds` is false.
void Require(bool holds, const char* what);

}  // namespace outrigger::fuzz
