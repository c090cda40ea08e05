// How long a kept-alive connection may be idle and still be used (semantics TO-9): pure, no clock.
//
// Servers close idle connections without notice, and a request sent at that moment is lost: uvicorn
// after 5 s, gunicorn after 2 s. The limit starts at the configured value, obeys a server that
// states its own (`Keep-Alive: timeout=5`), and learns from closes that it sees: three isolated
// closes of connections that had been idle for a second or more show the server's timeout. Many
// closes at once are a restart and teach nothing.
//
//   limit.OnIdleClose(idle_for, now);
//   if (idle_for < limit.value()) reuse
//
// One worker.

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/base/time.h"

namespace outrigger::upstream {

class IdleLimit {
 public:
  static constexpr absl::Duration kFloor = absl::Milliseconds(500);
  // What a request that must not run twice may rely on.
  static constexpr absl::Duration kUnsafeLimit = absl::Milliseconds(500);

  explicit IdleLimit(absl::Duration start) : value_(start) {}

  // The server closed a connection that had been idle for `idle_for`.
  void OnIdleClose(absl::Duration idle_for, MonoTime now);
  // The value of a Keep-Alive response field.
  void OnKeepAliveHeader(std::string_view value);

  absl::Duration value() const { return value_; }

 private:
  static constexpr size_t kSamples = 3;

  void Set(absl::Duration server_timeout);

  absl::Duration value_;
  std::array<absl::Duration, kSamples> samples_{};
  size_t sample_count_ = 0;
  // The last close is a sample only when no other one came close to it.
  absl::Duration candidate_ = absl::ZeroDuration();
  MonoTime last_close_;
};

}  // namespace outrigger::upstream
