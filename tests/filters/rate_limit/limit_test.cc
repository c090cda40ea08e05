#include "filters/rate_limit/limit.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace outrigger::rate_limit {
namespace {

constexpr Algorithm kAlgorithms[] = {Algorithm::kTokenBucket, Algorithm::kLeakyBucket,
                                     Algorithm::kSlidingWindow};

MonoTime At(double seconds) {
  return MonoTime::FromNanos(1'000'000'000'000 + static_cast<int64_t>(seconds * 1e9));
}

Rate RateOf(const char* text) { return Rate::Parse(text).value(); }

class EveryLimit : public ::testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(Algorithms, EveryLimit, ::testing::ValuesIn(kAlgorithms));

TEST_P(EveryLimit, AdmitsTheBurstAtOnceAndNoMore) {
  const Limit limit(GetParam(), RateOf("10/s"), 5);
  BucketState state = limit.Fresh(At(0));
  for (int i = 0; i < 5; ++i) {
    const Decision decision = limit.Acquire(state, 1, At(0));
    EXPECT_TRUE(decision.admitted) << i;
    EXPECT_EQ(decision.wait, absl::ZeroDuration());
    EXPECT_EQ(decision.remaining, 4 - i);
    EXPECT_GT(decision.reset, absl::ZeroDuration());
  }
  const Decision refused = limit.Acquire(state, 1, At(0));
  EXPECT_FALSE(refused.admitted);
  EXPECT_GT(refused.wait, absl::ZeroDuration());
  EXPECT_EQ(refused.remaining, 0);
}

TEST_P(EveryLimit, CountsTheDeltaOfAClockThatRunsBackAsZero) {
  const Limit limit(GetParam(), RateOf("10/s"), 5);
  BucketState state = limit.Fresh(At(0));
  ASSERT_TRUE(limit.Acquire(state, 5, At(0)).admitted);
  const Decision late = limit.Acquire(state, 1, At(-0.004));
  ASSERT_FALSE(late.admitted);
  // The wait counts from the caller's own clock.
  EXPECT_TRUE(limit.Acquire(state, 1, At(-0.004) + late.wait).admitted);
}

TEST_P(EveryLimit, SaysThatACostAboveTheBurstNeverFits) {
  const Limit limit(GetParam(), RateOf("10/s"), 5);
  BucketState state = limit.Fresh(At(0));
  const Decision decision = limit.Acquire(state, 6, At(0));
  EXPECT_FALSE(decision.admitted);
  EXPECT_EQ(decision.wait, absl::InfiniteDuration());
  EXPECT_FALSE(limit.Acquire(state, INT64_MAX, At(0)).admitted);
  // It has cost nothing.
  EXPECT_TRUE(limit.Acquire(state, 5, At(0)).admitted);
}

TEST_P(EveryLimit, RefusalsCostNothing) {
  const Limit limit(GetParam(), RateOf("1/s"), 2);
  BucketState state = limit.Fresh(At(0));
  ASSERT_TRUE(limit.Acquire(state, 2, At(0)).admitted);
  const absl::Duration wait = limit.Acquire(state, 1, At(0)).wait;
  for (int i = 0; i < 1000; ++i) ASSERT_FALSE(limit.Acquire(state, 1, At(0)).admitted);
  EXPECT_TRUE(limit.Acquire(state, 1, At(0) + wait).admitted);
}

TEST_P(EveryLimit, GivesBackARefundAtOnce) {
  const Limit limit(GetParam(), RateOf("1/s"), 3);
  BucketState state = limit.Fresh(At(0));
  ASSERT_TRUE(limit.Acquire(state, 2, At(0)).admitted);
  const Decision last = limit.Acquire(state, 1, At(0));
  ASSERT_TRUE(last.admitted);
  ASSERT_FALSE(limit.Acquire(state, 1, At(0)).admitted);
  limit.Refund(state, last.receipt, At(0));
  EXPECT_TRUE(limit.Acquire(state, 1, At(0)).admitted);
  EXPECT_FALSE(limit.Acquire(state, 1, At(0)).admitted);
}

TEST_P(EveryLimit, ARefundNeverFillsBeyondTheBurst) {
  const Limit limit(GetParam(), RateOf("1/s"), 3);
  BucketState state = limit.Fresh(At(0));
  const Decision early = limit.Acquire(state, 1, At(0));
  // Long after, the bucket is full without the refund.
  limit.Refund(state, early.receipt, At(100));
  EXPECT_TRUE(limit.Acquire(state, 3, At(100)).admitted);
  EXPECT_FALSE(limit.Acquire(state, 1, At(100)).admitted);
}

TEST_P(EveryLimit, IsIdleExactlyWhenItSays) {
  const Limit limit(GetParam(), RateOf("7/m"), 4);
  BucketState state = limit.Fresh(At(0));
  const Decision decision = limit.Acquire(state, 3, At(0));
  const MonoTime idle_at = limit.IdleAt(state);
  EXPECT_EQ(At(0) + decision.reset, idle_at);
  BucketState at_idle = state;
  EXPECT_EQ(limit.Acquire(at_idle, 0, idle_at).remaining, 4);
  EXPECT_LT(limit.Acquire(state, 0, idle_at.PlusNanos(-1'000'000'000)).remaining, 4);
}

TEST_P(EveryLimit, AReloadNeverRefills) {
  const Limit before(GetParam(), RateOf("1/s"), 4);
  for (const auto& [rate, burst] : std::vector<std::pair<const char*, int64_t>>{
           {"1/s", 4}, {"1/s", 2}, {"1/s", 8}, {"3/s", 4}, {"1/h", 4}, {"1000/7m", 3}}) {
    SCOPED_TRACE(::testing::Message() << rate << " burst " << burst);
    const Limit after(GetParam(), RateOf(rate), burst);
    BucketState state = before.Fresh(At(0));
    ASSERT_TRUE(before.Acquire(state, 4, At(0)).admitted);
    const int64_t unspent = before.Acquire(state, 0, At(0.5)).remaining;
    after.Adopt(state, before, At(0.5));
    const int64_t gained_burst = burst > 4 && GetParam() != Algorithm::kTokenBucket ? burst - 4 : 0;
    EXPECT_LE(after.Acquire(state, 0, At(0.5)).remaining, unspent + gained_burst);
    const Decision refused = after.Acquire(state, 1, At(0.5));
    if (!refused.admitted) {
      EXPECT_TRUE(after.Acquire(state, 1, At(0.5) + refused.wait).admitted);
    }
  }
}

TEST(TokenBucket, RefillsContinuously) {
  const Limit limit(Algorithm::kTokenBucket, RateOf("10/s"), 2);
  BucketState state = limit.Fresh(At(0));
  ASSERT_TRUE(limit.Acquire(state, 2, At(0)).admitted);
  EXPECT_EQ(limit.Acquire(state, 1, At(0)).wait, absl::Milliseconds(100));
  EXPECT_EQ(limit.Acquire(state, 1, At(0.04)).wait, absl::Milliseconds(60));
  EXPECT_FALSE(limit.Acquire(state, 1, At(0.0999)).admitted);
  EXPECT_TRUE(limit.Acquire(state, 1, At(0.1)).admitted);
  EXPECT_EQ(limit.Acquire(state, 1, At(0.1)).reset, absl::Milliseconds(200));
}

TEST(TokenBucket, LosesNothingToRoundingOverManySteps) {
  // 7/m is not a whole number of nano-tokens per nanosecond.
  const Limit limit(Algorithm::kTokenBucket, RateOf("7/m"), 7);
  BucketState state = limit.Fresh(At(0));
  ASSERT_TRUE(limit.Acquire(state, 7, At(0)).admitted);
  const MonoTime full = At(0) + absl::Minutes(1);
  for (MonoTime now = At(0); now < full; now = now.PlusNanos(999'983)) {
    limit.Acquire(state, 0, now);
  }
  EXPECT_TRUE(limit.Acquire(state, 7, full).admitted);
}

TEST(TokenBucket, ARefundOfALongRequestKeepsTheBound) {
  // Charge one, let the bucket become full, spend all: the refund must not add an eleventh.
  const Limit limit(Algorithm::kTokenBucket, RateOf("1/s"), 10);
  BucketState state = limit.Fresh(At(0));
  const Decision first = limit.Acquire(state, 1, At(0));
  ASSERT_TRUE(limit.Acquire(state, 10, At(5)).admitted);
  limit.Refund(state, first.receipt, At(5));
  EXPECT_FALSE(limit.Acquire(state, 1, At(5)).admitted);
}

TEST(LeakyBucket, LetsThroughEvenly) {
  const Limit limit(Algorithm::kLeakyBucket, RateOf("10/s"), 4);
  BucketState state = limit.Fresh(At(0));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(limit.Acquire(state, 1, At(0)).delay, i * absl::Milliseconds(100));
  }
  EXPECT_EQ(limit.Acquire(state, 1, At(0)).wait, absl::Milliseconds(100));
  EXPECT_EQ(limit.Acquire(state, 1, At(0.15)).delay, absl::Milliseconds(250));
}

TEST(LeakyBucket, RefundsTheLastInLineAlone) {
  const Limit limit(Algorithm::kLeakyBucket, RateOf("1/s"), 4);
  BucketState state = limit.Fresh(At(0));
  const Decision first = limit.Acquire(state, 1, At(0));
  const Decision second = limit.Acquire(state, 1, At(0));
  limit.Refund(state, first.receipt, At(0));
  EXPECT_EQ(limit.Acquire(state, 0, At(0)).remaining, 2);
  BucketState again = limit.Fresh(At(0));
  limit.Acquire(again, 1, At(0));
  const Decision last = limit.Acquire(again, 1, At(0));
  limit.Refund(again, last.receipt, At(0));
  EXPECT_EQ(limit.Acquire(again, 1, At(0)).delay, absl::Seconds(1));
  EXPECT_EQ(second.delay, absl::Seconds(1));
}

TEST(SlidingWindow, ItsWindowIsTheTimeTheBurstTakesAtTheRate) {
  EXPECT_EQ(SlidingWindow(RateOf("100/m"), 100).width(), absl::Minutes(1));
  EXPECT_EQ(SlidingWindow(RateOf("100/m"), 50).width(), absl::Seconds(30));
}

TEST(SlidingWindow, WeighsTheWindowBefore) {
  const Limit limit(Algorithm::kSlidingWindow, RateOf("10/s"), 10);
  BucketState state = limit.Fresh(At(0));
  ASSERT_TRUE(limit.Acquire(state, 10, At(0.9)).admitted);
  EXPECT_EQ(limit.Acquire(state, 1, At(0.9)).wait, absl::Milliseconds(200));
  EXPECT_FALSE(limit.Acquire(state, 1, At(1.05)).admitted);
  EXPECT_TRUE(limit.Acquire(state, 5, At(1.5)).admitted);
  EXPECT_FALSE(limit.Acquire(state, 1, At(1.5)).admitted);
}

TEST(SlidingWindow, RefundsInTheWindowOfTheCharge) {
  const Limit limit(Algorithm::kSlidingWindow, RateOf("10/s"), 10);
  BucketState state = limit.Fresh(At(0));
  const Decision charge = limit.Acquire(state, 10, At(0.9));
  BucketState previous = state;
  limit.Refund(previous, charge.receipt, At(1.0));
  EXPECT_TRUE(limit.Acquire(previous, 10, At(1.0)).admitted);
  BucketState gone = state;
  ASSERT_TRUE(limit.Acquire(gone, 10, At(5)).admitted);
  limit.Refund(gone, charge.receipt, At(5));
  EXPECT_FALSE(limit.Acquire(gone, 1, At(5)).admitted);
}

}  // namespace
}  // namespace outrigger::rate_limit
