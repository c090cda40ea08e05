// How often each length of time was seen, in buckets whose width grows with the length.
//
//   TimeHistogram times;
//   times.Add(absl::Milliseconds(820));
//   absl::Duration p99 = Percentile99(older, newer);
//
// Whole milliseconds, rounded up, each octave in 32 parts: what is read back is never less than
// what was added and at most 1/32 + 1 ms more. Longer than kLongest counts as kLongest. Adding is
// one increment. Plain data, 2.3 KiB; the owner sees to threads.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace outrigger::timeout {

class TimeHistogram {
 public:
  static constexpr absl::Duration kLongest = absl::Milliseconds((int64_t{1} << 22) - 1);  // 69 min

  void Add(absl::Duration time, uint32_t times = 1);
  uint64_t count() const { return count_; }

 private:
  friend absl::Duration Percentile99(const TimeHistogram& a, const TimeHistogram& b);

  static constexpr int kPartBits = 5;
  static constexpr uint64_t kParts = uint64_t{1} << kPartBits;
  static constexpr size_t kBuckets = (22 - kPartBits + 1) * kParts;

  static size_t BucketOf(uint64_t millis);
  static uint64_t LongestIn(size_t bucket);

  std::array<uint32_t, kBuckets> counts_ = {};
  uint64_t count_ = 0;
  size_t highest_ = 0;  // bucket in use
};

// The nearest-rank 99th percentile of what both have seen. REQUIRES: they have seen something.
absl::Duration Percentile99(const TimeHistogram& a, const TimeHistogram& b);

}  // namespace outrigger::timeout
