#include "filters/retry/recent_median.h"

#include <algorithm>

namespace outrigger::retry {

absl::Duration RecentMedian::Get() const {
  if (added_ < kEnough) return absl::ZeroDuration();
  std::array<int64_t, kSamples> sorted = nanos_;
  const size_t count = std::min(added_, kSamples);
  int64_t* const middle = sorted.data() + (count - 1) / 2;
  std::nth_element(sorted.data(), middle, sorted.data() + count);
  return absl::Nanoseconds(*middle);
}

}  // namespace outrigger::retry
