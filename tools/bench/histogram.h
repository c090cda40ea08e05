// Counts durations in buckets about 1.6 % wide, for percentiles of any range.
//
//   Histogram delays;
//   delays.Record(nanos);
//   int64_t p99 = delays.Percentile(0.99);

#pragma once

#include <array>
#include <cstdint>

namespace outrigger::bench {

class Histogram {
 public:
  // Negative values count as zero.
  void Record(int64_t value);

  uint64_t count() const { return count_; }
  int64_t max() const { return max_; }
  // The upper end of the bucket in which the value of that rank lies, never more than max();
  // 0 when nothing was recorded. `fraction` is in 0..1.
  int64_t Percentile(double fraction) const;

 private:
  // Each power of two is cut into 64 buckets; below 64 every value has its own.
  static constexpr int kSubBits = 6;
  static constexpr int kSub = 1 << kSubBits;
  static int IndexOf(uint64_t value);
  static int64_t UpperEnd(int index);

  std::array<uint64_t, (64 - kSubBits + 1) * kSub> buckets_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

}  // namespace outrigger::bench
