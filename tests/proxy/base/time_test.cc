#include "proxy/base/time.h"

#include <gtest/gtest.h>

#include <limits>

namespace outrigger {
namespace {

constexpr MonoTime kHour = MonoTime::FromNanos(3'600'000'000'000);

TEST(MonoTime, AddsAndSubtractsDurations) {
  EXPECT_EQ((kHour + absl::Seconds(1)) - kHour, absl::Seconds(1));
  EXPECT_EQ(kHour - (kHour + absl::Seconds(1)), absl::Seconds(-1));
  EXPECT_LT(kHour, kHour + absl::Nanoseconds(1));
  EXPECT_EQ(kHour.PlusNanos(-1).nanos(), kHour.nanos() - 1);
}

TEST(MonoTime, SaturatesAtInfinite) {
  EXPECT_TRUE((kHour + absl::InfiniteDuration()).is_infinite());
  EXPECT_TRUE((kHour + absl::Hours(24 * 365 * 1000)).is_infinite());
  EXPECT_TRUE((MonoTime::Infinite() + absl::Seconds(-1)).is_infinite());
  EXPECT_LT(kHour, MonoTime::Infinite());
}

TEST(MonoTime, SaturatesInThePast) {
  const MonoTime past = MonoTime::FromNanos(-5) + -absl::InfiniteDuration();
  EXPECT_LT(past, MonoTime::FromNanos(-5));
  EXPECT_LT(kHour + -absl::InfiniteDuration(), MonoTime());
}

TEST(MonoTime, IsInfinitelyFarFromInfinite) {
  EXPECT_EQ(MonoTime::Infinite() - kHour, absl::InfiniteDuration());
  EXPECT_EQ(kHour - MonoTime::Infinite(), -absl::InfiniteDuration());
  EXPECT_EQ(MonoTime::FromNanos(-5) - MonoTime::Infinite(), -absl::InfiniteDuration());
}

TEST(MonoTime, ClocksNeverGoBack) {
  MonoTime precise = PreciseNow();
  MonoTime coarse = CoarseNow();
  for (int i = 0; i < 10'000; ++i) {
    const MonoTime next_precise = PreciseNow();
    const MonoTime next_coarse = CoarseNow();
    ASSERT_GE(next_precise, precise);
    ASSERT_GE(next_coarse, coarse);
    precise = next_precise;
    coarse = next_coarse;
  }
  EXPECT_GT(precise.nanos(), 0);
}

}  // namespace
}  // namespace outrigger
