// Settings of the circuit breaker (semantics B3). Plain data; the defaults are the product's.

#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "proxy/config/filter_mode.h"

namespace outrigger::config {

// A call is slow when its first content took longer than `ttft`.
struct SlowCallSettings {
  absl::Duration ttft = absl::Seconds(30);
  double ratio = 0.8;
};

// How a half-open breaker finds out whether the upstream works again (BR-4).
struct ProbeSettings {
  enum class Kind { kRequest, kPath };
  Kind kind = Kind::kRequest;
  std::string path;                           // of kPath
  absl::Duration timeout = absl::Seconds(5);  // of kPath

  friend bool operator==(const ProbeSettings&, const ProbeSettings&) = default;
};

enum class ThrottleGate { kDisabled, kEnabled };

struct BreakerSettings {
  FilterMode mode = FilterMode::kEnforce;
  double failure_ratio = 0.5;
  absl::Duration window = absl::Seconds(10);
  int64_t min_requests = 10;
  int64_t consecutive = 5;
  SlowCallSettings slow;
  absl::Duration open_for = absl::Seconds(5);
  absl::Duration max_open_for = absl::Seconds(60);
  int64_t successes_to_close = 3;
  ProbeSettings probe;
  ThrottleGate throttle_gate = ThrottleGate::kDisabled;
};

}  // namespace outrigger::config
