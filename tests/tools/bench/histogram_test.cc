#include "tools/bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace outrigger::bench {
namespace {

TEST(Histogram, IsZeroWhenNothingWasRecorded) {
  const Histogram histogram;
  EXPECT_EQ(histogram.Percentile(0.99), 0);
  EXPECT_EQ(histogram.max(), 0);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram histogram;
  for (int64_t value = 1; value <= 50; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.Percentile(0.5), 25);
  EXPECT_EQ(histogram.Percentile(1.0), 50);
  EXPECT_EQ(histogram.Percentile(0.0), 1);
}

TEST(Histogram, CountsNegativeValuesAsZero) {
  Histogram histogram;
  histogram.Record(-5);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.Percentile(0.5), 0);
}

TEST(Histogram, HoldsTheLargestValue) {
  Histogram histogram;
  histogram.Record(INT64_MAX);
  EXPECT_EQ(histogram.Percentile(0.5), INT64_MAX);
}

TEST(Histogram, StaysWithinABucketOfTheSortedValues) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> durations(11, 2);
    Histogram histogram;
    std::vector<int64_t> values(1 + random() % 2000);
    for (int64_t& value : values) {
      value = static_cast<int64_t>(durations(random));
      histogram.Record(value);
    }
    std::sort(values.begin(), values.end());
    for (const double fraction : {0.01, 0.5, 0.9, 0.99, 1.0}) {
      const auto rank =
          static_cast<size_t>(std::ceil(fraction * static_cast<double>(values.size())));
      const int64_t exact = values[rank - 1];
      const int64_t shown = histogram.Percentile(fraction);
      EXPECT_GE(shown, exact);
      EXPECT_LE(static_cast<double>(shown), static_cast<double>(exact) * (1 + 1.0 / 64) + 1);
    }
  }
}

}  // namespace
}  // namespace outrigger::bench
