#include "filters/retry/recent_median.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::retry {
namespace {

TEST(RecentMedian, IsUnknownUntilThereAreEnoughValues) {
  RecentMedian median;
  for (size_t i = 1; i < RecentMedian::kEnough; ++i) {
    median.Add(absl::Seconds(1));
    EXPECT_EQ(median.Get(), absl::ZeroDuration());
  }
  median.Add(absl::Seconds(1));
  EXPECT_EQ(median.Get(), absl::Seconds(1));
}

TEST(RecentMedian, EqualsTheSortedMiddleOfTheLastValues) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    RecentMedian median;
    std::vector<absl::Duration> all;
    for (int i = 0; i < 300; ++i) {
      all.push_back(absl::Nanoseconds(random.Below(1'000'000'000)));
      median.Add(all.back());
      if (all.size() < RecentMedian::kEnough) continue;
      const size_t count = std::min(all.size(), RecentMedian::kSamples);
      std::vector<absl::Duration> recent(all.end() - static_cast<ptrdiff_t>(count), all.end());
      std::sort(recent.begin(), recent.end());
      ASSERT_EQ(median.Get(), recent[(count - 1) / 2]);
    }
  }
}

}  // namespace
}  // namespace outrigger::retry
