// What the configuration says about retries (semantics RT-1..RT-6); the values are the defaults.
//
// Plain data, immutable once a snapshot is built; shared by all workers.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "filters/retry/backoff.h"
#include "filters/retry/budget.h"

namespace outrigger::retry {

// Replaces number and first delay of the retries of one cause. It cannot allow a retry that the
// outcome table forbids.
struct CauseOverride {
  // A status ("503") or a class of IsCauseName ("timeout").
  std::string cause;
  int retries = 0;
  // The base of the backoff; zero: at once.
  absl::Duration delay = absl::ZeroDuration();
};

struct RetryPolicy {
  int attempts = 3;  // the first one included
  BackoffPolicy backoff = LocalBackoff();
  BudgetPolicy budget;
  absl::Duration max_retry_after = absl::Seconds(30);
  size_t max_replay_body = size_t{1} << 20;
  std::vector<CauseOverride> causes;
};

// "connect", "reset", "timeout", "throttled", or a status from 400 to 599.
bool IsCauseName(std::string_view name);

}  // namespace outrigger::retry
