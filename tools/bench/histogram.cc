#include "tools/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace outrigger::bench {

int Histogram::IndexOf(uint64_t value) {
  if (value < kSub) return static_cast<int>(value);
  const int shift = std::bit_width(value) - 1 - kSubBits;
  return (shift + 1) * kSub + static_cast<int>((value >> shift) - kSub);
}

int64_t Histogram::UpperEnd(int index) {
  if (index < kSub) return index;
  const int shift = index / kSub - 1;
  const auto base = static_cast<uint64_t>(index % kSub + kSub);
  return static_cast<int64_t>(((base + 1) << shift) - 1);
}

void Histogram::Record(int64_t value) {
  value = std::max<int64_t>(value, 0);
  ++buckets_[static_cast<size_t>(IndexOf(static_cast<uint64_t>(value)))];
  ++count_;
  max_ = std::max(max_, value);
}

int64_t Histogram::Percentile(double fraction) const {
  if (count_ == 0) return 0;
  const double rank = std::ceil(fraction * static_cast<double>(count_));
  const auto wanted = std::clamp<uint64_t>(static_cast<uint64_t>(rank), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(UpperEnd(static_cast<int>(i)), max_);
  }
  return max_;
}

}  // namespace outrigger::bench
