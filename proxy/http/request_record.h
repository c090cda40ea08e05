// What happened to one request, for its access log line and its metrics. Filters write their part
// as they decide; the driver reads all of it once, at the end of the stream.

#pragma once

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/base/time.h"
#include "proxy/http/reason.h"

namespace outrigger::http {

struct RequestRecord {
  uint8_t attempts = 0;  // sent or tried
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
  MonoTime upstream_head;       // precise; zero before
  MonoTime first_content;       // precise; streams
  uint64_t request_bytes = 0;   // of the body
  uint64_t response_bytes = 0;  // of the body
};

}  // namespace outrigger::http
