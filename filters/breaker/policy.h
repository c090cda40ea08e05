// What the `breaker` section of the configuration says, with its defaults (semantics D). Plain
// values, filled in by the configuration's parser and immutable afterwards.

#pragma once

#include <string>

#include "absl/time/time.h"

namespace outrigger::breaker {

enum class Mode { kEnforce, kShadow, kDisabled };

struct SlowPolicy {
  absl::Duration ttft = absl::Seconds(30);  // an answer whose first content comes later is slow
  double ratio = 0.8;

  friend bool operator==(const SlowPolicy&, const SlowPolicy&) = default;
};

struct ProbePolicy {
  std::string path;                           // empty: user requests are the probes
  absl::Duration timeout = absl::Seconds(5);  // of a GET of `path` alone

  friend bool operator==(const ProbePolicy&, const ProbePolicy&) = default;
};

struct Policy {
  Mode mode = Mode::kEnforce;
  double failure_ratio = 0.5;
  absl::Duration window = absl::Seconds(10);
  int min_requests = 10;
  int consecutive = 5;
  SlowPolicy slow;
  absl::Duration open_for = absl::Seconds(5);
  absl::Duration max_open_for = absl::Seconds(60);
  int successes_to_close = 3;
  ProbePolicy probe;
  bool throttle_gate = false;

  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace outrigger::breaker
