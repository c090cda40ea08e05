// What happened to one request, for its access log line and its metrics. Filters write their part
// as they decide; the driver reads all of it once, at the end of the stream.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "proxy/base/pooled.h"
#include "proxy/base/time.h"
#include "proxy/http/reason.h"

namespace outrigger::http {

// A try after which there was another.
struct FailedAttempt {
  std::string_view cause;  // a static word
  int status = 0;          // 0: there was no answer
  absl::Duration took = absl::ZeroDuration();
  absl::Duration backoff = absl::ZeroDuration();  // slept after it
};

struct RequestRecord {
  uint8_t attempts = 0;  // sent or tried
  std::vector<FailedAttempt, PooledAllocator<FailedAttempt>> failed_attempts;
  bool retries_exhausted = false;
  bool body_unbuffered = false;  // too large to be sent again (RT-6)
  // Static words: "stored", "replayed", "joined", "released", "bypassed", "tombstone", "unknown";
  // "reserved" and "executing" while that is what is known; empty without a key.
  std::string_view idempotency;
  // How a tunnel ended, a static word; empty: there was none.
  std::string_view tunnel_end;
  std::string_view limiter_rule;  // the rule that refused; lives as long as the configuration
  absl::Duration backoff = absl::ZeroDuration();  // slept in total
  int upstream_status = 0;
  MonoTime upstream_started;    // precise; of the last attempt
  MonoTime upstream_connected;  // precise; zero when a kept connection was used
  MonoTime upstream_head;       // precise; zero before
  MonoTime first_content;       // precise; streams
  uint64_t request_bytes = 0;   // of the body
  uint64_t response_bytes = 0;  // of the body
};

}  // namespace outrigger::http
