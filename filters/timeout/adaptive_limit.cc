#include "filters/timeout/adaptive_limit.h"

#include <algorithm>

namespace outrigger::timeout {

AdaptiveLimit::AdaptiveLimit(const AdaptivePolicy& policy) : policy_(policy) { Publish(); }

absl::Duration AdaptiveLimit::Limit(MonoTime now) {
  if (now.nanos() >= slice_end_nanos_.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(mutex_);
    Turn(now);
    Publish();
  }
  return absl::Nanoseconds(limit_nanos_.load(std::memory_order_relaxed));
}

void AdaptiveLimit::Record(absl::Duration time, MonoTime now) {
  const std::lock_guard lock(mutex_);
  Turn(now);
  cuts_in_a_row_ = 0;
  newer_.Add(time);
  Publish();
}

void AdaptiveLimit::RecordCut(absl::Duration waited, MonoTime now) {
  const std::lock_guard lock(mutex_);
  Turn(now);
  if (++cuts_in_a_row_ < kCutsInARow) {
    newer_.Add(waited);
  } else {
    // Not less than there was: this one may have begun under an earlier, shorter limit.
    if (has_enough()) waited = std::max(waited, Percentile99(older_, newer_));
    cuts_in_a_row_ = 0;
    older_ = {};
    newer_ = {};
    newer_.Add(waited, kEnough);
  }
  Publish();
}

void AdaptiveLimit::SetPolicy(const AdaptivePolicy& policy) {
  const std::lock_guard lock(mutex_);
  policy_ = policy;
  Publish();
}

void AdaptiveLimit::Turn(MonoTime now) {
  const int64_t slice = now.nanos() / kSliceNanos;
  if (slice <= slice_) return;
  older_ = slice == slice_ + 1 ? newer_ : TimeHistogram();
  newer_ = TimeHistogram();
  slice_ = slice;
  slice_end_nanos_.store((slice + 1) * kSliceNanos, std::memory_order_relaxed);
}

void AdaptiveLimit::Publish() {
  absl::Duration limit = policy_.otherwise;
  if (has_enough()) {
    limit = std::clamp(policy_.factor * Percentile99(older_, newer_), policy_.floor, policy_.cap);
  }
  limit_nanos_.store(absl::ToInt64Nanoseconds(limit), std::memory_order_relaxed);
}

}  // namespace outrigger::timeout
