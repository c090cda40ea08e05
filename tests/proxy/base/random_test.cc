#include "proxy/base/random.h"

#include <gtest/gtest.h>

#include <array>

namespace outrigger {
namespace {

TEST(Random, RepeatsARunFromItsSeed) {
  Random a(42), b(42), other(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t number = a.Next();
    EXPECT_EQ(number, b.Next());
    differs |= number != other.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(Random, StaysInItsInterval) {
  Random random(1);
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double number = random.Uniform();
    ASSERT_GE(number, 0);
    ASSERT_LT(number, 1);
    sum += number;
    const double scaled = random.Uniform(-3, 5);
    ASSERT_GE(scaled, -3);
    ASSERT_LT(scaled, 5);
    ASSERT_LT(random.Below(7), 7u);
  }
  EXPECT_NEAR(sum / 100'000, 0.5, 0.01);
}

TEST(Random, GivesTheLowerBoundOfAnEmptyInterval) {
  Random random(1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(random.Uniform(2, 2), 2);
    EXPECT_EQ(random.Uniform(2, 1), 2);
  }
}

TEST(Random, NeverRoundsUpToTheUpperBound) {
  Random random(1);
  // Two neighbours: every result but the lower one would be the upper bound.
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.Uniform(1, 1 + 0x1.0p-52), 1);
}

TEST(Random, ReachesEveryNumberBelowTheBound) {
  Random random(1);
  std::array<int, 5> counts{};
  for (int i = 0; i < 5000; ++i) ++counts[random.Below(counts.size())];
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

}  // namespace
}  // namespace outrigger
