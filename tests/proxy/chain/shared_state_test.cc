#include "proxy/chain/shared_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "proxy/base/random.h"

namespace outrigger::chain {
namespace {

using rate_limit::Algorithm;
using rate_limit::LimiterTable;
using rate_limit::Rate;

class SharedStateTest : public testing::Test {
 protected:
  std::shared_ptr<LimiterTable> Limiter(const std::string& rate, int64_t burst,
                                        Algorithm algorithm = Algorithm::kTokenBucket,
                                        const std::string& scope = "rule") {
    return shared_.Limiter("rule", scope,
                           {.algorithm = algorithm,
                            .rate = Rate::Parse(rate).value(),
                            .burst = burst,
                            .max_buckets = 10});
  }
  void Reload() { shared_.BeginConfiguration({}); }

  MonoTime now_ = MonoTime::FromNanos(1'000'000'000'000);
  SharedState shared_{{.seed = 1, .clock = [this] { return now_; }}};
};

using SharedState_ = SharedStateTest;

TEST_F(SharedState_, ReloadNeverRefillsABucket) {
  constexpr uint64_t kFirstSeed = 4'100;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + 200; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Random random(seed);
    const Algorithm algorithm =
        random.Below(2) == 0 ? Algorithm::kTokenBucket : Algorithm::kLeakyBucket;
    const std::string scope = std::to_string(seed);
    int64_t per_second = 1 + static_cast<int64_t>(random.Below(20));
    int64_t burst = 1 + static_cast<int64_t>(random.Below(20));
    // A token bucket begins with its burst and never has more than it has earned since; what a
    // leaky one holds is never more than the largest burst there was.
    int64_t allowed = burst * 1'000'000'000;
    int64_t largest_burst = burst;
    const uint64_t key = seed << 58 | seed;
    int64_t admitted = 0;
    for (int step = 0; step < 300; ++step) {
      Reload();
      std::shared_ptr<LimiterTable> table =
          Limiter(std::to_string(per_second) + "/s", burst, algorithm, scope);
      for (uint64_t i = random.Below(4); i > 0; --i) {
        const auto elapsed = static_cast<int64_t>(random.Below(400'000'000));
        now_ = now_.PlusNanos(elapsed);
        allowed += elapsed * per_second;
        for (uint64_t tries = random.Below(30); tries > 0; --tries) {
          if (table->Acquire(key, 1, now_).admitted) ++admitted;
        }
        if (algorithm == Algorithm::kTokenBucket) {
          ASSERT_LE(admitted * 1'000'000'000, allowed);
        } else {
          ASSERT_LE(admitted * 1'000'000'000, allowed + (largest_burst - burst) * 1'000'000'000);
        }
      }
      per_second = 1 + static_cast<int64_t>(random.Below(20));
      const int64_t next_burst = 1 + static_cast<int64_t>(random.Below(20));
      if (algorithm == Algorithm::kLeakyBucket) allowed += (next_burst - burst) * 1'000'000'000;
      burst = next_burst;
      largest_burst = std::max(largest_burst, burst);
    }
    ASSERT_GT(admitted, 0);
  }
}

TEST_F(SharedState_, NewRateFillsWhatTheOldOneHasEmptied) {
  ASSERT_TRUE(Limiter("1/h", 5)->Acquire(1, 5, now_).admitted);
  Reload();
  const std::shared_ptr<LimiterTable> table = Limiter("1/s", 5);
  EXPECT_EQ(table->Remaining(1, now_), 0);
  EXPECT_EQ(table->Remaining(1, now_ + absl::Seconds(3)), 3);
}

TEST_F(SharedState_, WhoAsksFirstWithinAConfigurationSetsTheNumbers) {
  const std::shared_ptr<LimiterTable> table = Limiter("1/s", 5);
  EXPECT_EQ(Limiter("1/s", 3), table);
  EXPECT_EQ(table->Remaining(1, now_), 5) << "the same configuration";
  Reload();
  EXPECT_EQ(Limiter("1/s", 3), table);
  Limiter("1/s", 9);
  EXPECT_EQ(table->Remaining(1, now_), 3);
}

TEST_F(SharedState_, ReceiptsOfAnUnchangedRuleAreWorthWhatTheyWere) {
  const std::shared_ptr<LimiterTable> table = Limiter("1/h", 2);
  const rate_limit::Decision decision = table->Acquire(1, 2, now_);
  Reload();
  Limiter("1/h", 2);
  table->Refund(decision.receipt, now_);
  EXPECT_EQ(table->Remaining(1, now_), 2);
}

TEST_F(SharedState_, OtherAlgorithmBeginsAnew) {
  const std::shared_ptr<LimiterTable> table = Limiter("1/s", 5);
  Reload();
  EXPECT_NE(Limiter("1/s", 5, Algorithm::kSlidingWindow), table);
}

TEST_F(SharedState_, BudgetGoesOnWithTheNewPolicy) {
  const std::shared_ptr<retry::RetryBudget> budget =
      shared_.Budget("app", {.ratio = 0, .floor = 2, .window = absl::Seconds(10)});
  ASSERT_TRUE(budget->TryWithdraw(now_));
  ASSERT_TRUE(budget->TryWithdraw(now_));
  Reload();
  const retry::BudgetPolicy larger{.ratio = 0, .floor = 3, .window = absl::Seconds(10)};
  EXPECT_EQ(shared_.Budget("app", larger), budget);
  shared_.Budget("app", {.ratio = 0, .floor = 9, .window = absl::Seconds(10)});
  EXPECT_EQ(budget->Remaining(now_), 1u) << "spent stays spent; another route changes nothing";
}

TEST_F(SharedState_, LearnedLimitGoesOnWithTheNewPolicy) {
  const SharedState::RouteScope scope{"app", "chat"};
  const std::shared_ptr<timeout::AdaptiveLimit> limit = shared_.TtftLimit(scope, {});
  for (int i = 0; i < 100; ++i) limit->Record(absl::Milliseconds(40), now_);
  EXPECT_EQ(limit->Limit(now_), absl::Seconds(5));
  EXPECT_EQ(shared_.TtftLimit(scope, {.floor = absl::Seconds(1)}), limit);
  EXPECT_EQ(limit->Limit(now_), absl::Seconds(5)) << "the same configuration";
  Reload();
  EXPECT_EQ(shared_.TtftLimit(scope, {.floor = absl::Seconds(1)}), limit);
  EXPECT_EQ(limit->Limit(now_), absl::Seconds(1));
  EXPECT_NE(shared_.TtftLimit({"other", "chat"}, {}), limit);
  EXPECT_NE(shared_.TtftLimit({"app", "other"}, {}), limit);
  EXPECT_EQ(shared_.TtftLimits().size(), 3u);
  shared_.DropUnused();
  EXPECT_EQ(shared_.TtftLimits().size(), 1u);
}

TEST_F(SharedState_, BreakerStaysOpen) {
  breaker::Policy policy{.consecutive = 1, .open_for = absl::Hours(1)};
  policy.max_open_for = absl::Hours(1);
  const std::shared_ptr<breaker::Breaker> breaker = shared_.breakers().Get("app/r", policy, now_);
  breaker->TryAcquire(now_)->Record(breaker::Outcome::kFailure, false, now_);
  Reload();
  policy.consecutive = 100;
  EXPECT_EQ(shared_.breakers().Get("app/r", policy, now_), breaker);
  EXPECT_EQ(breaker->TakeSnapshot(now_).state, breaker::State::kOpen);
}

TEST_F(SharedState_, ForgetsWhatNobodyHolds) {
  std::shared_ptr<LimiterTable> table = Limiter("1/s", 5);
  std::shared_ptr<retry::RetryBudget> budget = shared_.Budget("app", {});
  std::shared_ptr<upstream::SharedUpstreamState> upstream = shared_.Upstream("app");
  std::shared_ptr<breaker::Breaker> breaker = shared_.breakers().Get("app/r", {}, now_);
  std::shared_ptr<MemoryBudget> pool = shared_.ReplayPool(1000);
  shared_.DropUnused();
  EXPECT_EQ(shared_.LimiterBuckets().size(), 1u);
  EXPECT_EQ(shared_.Budgets().size(), 1u);
  EXPECT_EQ(shared_.Upstream("app"), upstream);
  EXPECT_EQ(shared_.ReplayPool(1000), pool);
  EXPECT_EQ(shared_.breakers().Find("app/r"), breaker);
  table.reset();
  budget.reset();
  breaker.reset();
  shared_.DropUnused();
  EXPECT_TRUE(shared_.LimiterBuckets().empty());
  EXPECT_TRUE(shared_.Budgets().empty());
  EXPECT_EQ(shared_.breakers().Find("app/r"), nullptr);
}

TEST_F(SharedState_, TakesTheLimitsOver) {
  shared_.BeginConfiguration({.memory_bytes = 1000, .key_limits = {}});
  EXPECT_EQ(shared_.memory().limit_bytes(), 1000u);
  shared_.memory().Charge(960);
  EXPECT_TRUE(shared_.memory().refuses_requests());
  shared_.BeginConfiguration({.memory_bytes = 2000, .key_limits = {}});
  EXPECT_FALSE(shared_.memory().refuses_requests());
  EXPECT_EQ(shared_.memory().used_bytes(), 960u);
  shared_.memory().Release(960);
}

}  // namespace
}  // namespace outrigger::chain
