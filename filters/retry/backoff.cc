#include "filters/retry/backoff.h"

#include <algorithm>
#include <cmath>

namespace outrigger::retry {
namespace {

// 2^62 nanoseconds are over a century: no base needs more doublings to reach its cap.
constexpr int kMaxDoublings = 62;

}  // namespace

absl::Duration Backoff::Next() {
  switch (policy_.kind) {
    case BackoffKind::kFixed:
      return policy_.base;
    case BackoffKind::kExponential:
      return NextWindow();
    case BackoffKind::kFullJitter:
      return NextWindow() * random_.Uniform();
    case BackoffKind::kEqualJitter:
      return NextWindow() * random_.Uniform(policy_.jitter_floor, 1.0);
    case BackoffKind::kDecorrelated: {
      const absl::Duration high = 3 * std::max(previous_, policy_.base);
      const absl::Duration wait = policy_.base + (high - policy_.base) * random_.Uniform();
      previous_ = std::min(policy_.cap, wait);
      return previous_;
    }
  }
  return policy_.base;
}

absl::Duration Backoff::NextWindow() {
  const double factor = std::ldexp(1.0, waits_);
  if (waits_ < kMaxDoublings) ++waits_;
  return std::min(policy_.cap, policy_.base * factor);
}

}  // namespace outrigger::retry
