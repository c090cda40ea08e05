#include "filters/timeout/time_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::timeout {
namespace {

using absl::Milliseconds;
using absl::Nanoseconds;

absl::Duration ReadBack(absl::Duration time) {
  TimeHistogram histogram;
  histogram.Add(time);
  return Percentile99(histogram, TimeHistogram());
}

// What the header states: never less, at most 1/32 and a millisecond more.
void ExpectWithinError(absl::Duration read, absl::Duration exact) {
  EXPECT_GE(read, exact);
  EXPECT_LE(read, exact + exact / 32 + Milliseconds(1));
}

TEST(TimeHistogram, ReadsEveryMillisecondBackWithinTheStatedError) {
  for (int64_t millis = 0; millis <= absl::ToInt64Milliseconds(TimeHistogram::kLongest);
       millis += 1 + millis / 4096) {
    SCOPED_TRACE(millis);
    ExpectWithinError(ReadBack(Milliseconds(millis)), Milliseconds(millis));
    ExpectWithinError(ReadBack(Milliseconds(millis) + Nanoseconds(1)),
                      Milliseconds(millis) + Nanoseconds(1));
    if (HasFailure()) return;
  }
}

TEST(TimeHistogram, IsExactBelowSixtyFourMilliseconds) {
  for (int64_t millis = 0; millis < 64; ++millis) {
    EXPECT_EQ(ReadBack(Milliseconds(millis)), Milliseconds(millis));
  }
}

TEST(TimeHistogram, TakesWhatIsOutOfRangeAsTheNearestInRange) {
  EXPECT_EQ(ReadBack(-absl::Seconds(5)), absl::ZeroDuration());
  EXPECT_EQ(ReadBack(TimeHistogram::kLongest), TimeHistogram::kLongest);
  EXPECT_EQ(ReadBack(absl::Hours(100)), TimeHistogram::kLongest);
  EXPECT_EQ(ReadBack(absl::InfiniteDuration()), TimeHistogram::kLongest);
}

TEST(TimeHistogram, AgreesWithTheSortedValues) {
  constexpr uint64_t kFirstSeed = 7'300;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    TimeHistogram histograms[2];
    std::vector<absl::Duration> all;
    const size_t count = 1 + random.Below(2'000);
    // Of any magnitude, or all close together.
    const double octaves = random.Below(2) == 0 ? 21 : 0.5;
    while (all.size() < count) {
      const double exponent = octaves * static_cast<double>(random.Below(10'000)) / 10'000;
      const auto times = static_cast<uint32_t>(random.Below(4) == 0 ? 1 + random.Below(30) : 1);
      const absl::Duration time = Milliseconds(1) * std::exp2(exponent);
      histograms[random.Below(2)].Add(time, times);
      all.insert(all.end(), times, time);
    }
    EXPECT_EQ(histograms[0].count() + histograms[1].count(), all.size());
    std::sort(all.begin(), all.end());
    const size_t rank = (all.size() * 99 + 99) / 100;  // nearest rank, counted from 1
    ExpectWithinError(Percentile99(histograms[0], histograms[1]), all[rank - 1]);
    EXPECT_EQ(Percentile99(histograms[0], histograms[1]),
              Percentile99(histograms[1], histograms[0]));
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace outrigger::timeout
