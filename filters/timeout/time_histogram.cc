#include "filters/timeout/time_histogram.h"

#include <algorithm>
#include <bit>

namespace outrigger::timeout {

void TimeHistogram::Add(absl::Duration time, uint32_t times) {
  const absl::Duration within = std::clamp(time, absl::ZeroDuration(), kLongest);
  const auto millis =
      static_cast<uint64_t>(absl::ToInt64Milliseconds(absl::Ceil(within, absl::Milliseconds(1))));
  const size_t bucket = BucketOf(millis);
  counts_[bucket] += times;
  count_ += times;
  highest_ = std::max(highest_, bucket);
}

// Up to twice kParts a bucket is a millisecond; from there on the leading kPartBits + 1 bits of
// the value choose it.
size_t TimeHistogram::BucketOf(uint64_t millis) {
  if (millis < 2 * kParts) return millis;
  const int shift = std::bit_width(millis) - (kPartBits + 1);
  return static_cast<uint64_t>(shift) * kParts + (millis >> shift);
}

uint64_t TimeHistogram::LongestIn(size_t bucket) {
  if (bucket < 2 * kParts) return bucket;
  const uint64_t shift = bucket / kParts - 1;
  return ((bucket - shift * kParts + 1) << shift) - 1;
}

absl::Duration Percentile99(const TimeHistogram& a, const TimeHistogram& b) {
  // From the top, because one in a hundred is quickly counted.
  const uint64_t above = (a.count_ + b.count_) / 100;
  size_t bucket = std::max(a.highest_, b.highest_);
  uint64_t seen = a.counts_[bucket] + b.counts_[bucket];
  while (seen <= above) {
    --bucket;
    seen += a.counts_[bucket] + b.counts_[bucket];
  }
  return absl::Milliseconds(TimeHistogram::LongestIn(bucket));
}

}  // namespace outrigger::timeout
