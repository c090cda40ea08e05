// The median of a route's recent times to the first token: what another attempt will cost at least
// (semantics RT-8).
//
//   median.Add(first_content - attempt_began);
//   if (remaining < wait + median.Get()) ...        // no use in trying again
//
// Exact over the last kSamples values. Adding is a store; the median is computed when asked for,
// which happens only before a retry. Zero until there are kEnough values: a guess would forbid
// retries. One worker.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace outrigger::retry {

class RecentMedian {
 public:
  static constexpr size_t kSamples = 64;
  static constexpr size_t kEnough = 8;

  void Add(absl::Duration value) {
    nanos_[added_ % kSamples] = absl::ToInt64Nanoseconds(value);
    ++added_;
  }
  // The lower one of the two in the middle when their number is even.
  absl::Duration Get() const;

 private:
  std::array<int64_t, kSamples> nanos_ = {};
  size_t added_ = 0;
};

}  // namespace outrigger::retry
