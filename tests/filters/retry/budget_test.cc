#include "filters/retry/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::retry {
namespace {

// Every event of the window kept and counted anew for each question.
class ReferenceBudget {
 public:
  explicit ReferenceBudget(const BudgetPolicy& policy)
      : policy_(policy), slice_(absl::ToInt64Nanoseconds(policy.window) / RetryBudget::kSlices) {}

  void RecordFirstAttempt(MonoTime now) { events_.push_back({SliceOf(now), false}); }
  bool TryWithdraw(MonoTime now) {
    if (Remaining(now) == 0) return false;
    events_.push_back({SliceOf(now), true});
    return true;
  }
  uint64_t Remaining(MonoTime now) {
    const int64_t oldest = SliceOf(now) - RetryBudget::kSlices;
    double first_attempts = 0;
    double retries = 0;
    for (const Event& event : events_) {
      if (event.is_retry && event.slice >= oldest) retries += 1;
      if (!event.is_retry && event.slice > oldest) first_attempts += 1;
    }
    const double allowed = policy_.floor + policy_.ratio * first_attempts;
    return static_cast<uint64_t>(std::max(0.0, allowed - retries + 1e-9));
  }

 private:
  struct Event {
    int64_t slice;
    bool is_retry;
  };
  int64_t SliceOf(MonoTime now) {
    newest_ = std::max(newest_, now.nanos() / slice_);
    return newest_;
  }

  BudgetPolicy policy_;
  int64_t slice_;
  int64_t newest_ = 0;
  std::vector<Event> events_;
};

MonoTime At(double seconds) { return MonoTime::FromNanos(static_cast<int64_t>(seconds * 1e9)); }

TEST(RetryBudget, EqualsTheReferenceModelOnRandomEvents) {
  const uint64_t seed =
      static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    const BudgetPolicy policy = {static_cast<double>(random.Below(101)) / 100,
                                 static_cast<uint32_t>(random.Below(6)),
                                 absl::Seconds(1 + static_cast<int64_t>(random.Below(20)))};
    RetryBudget budget(policy);
    ReferenceBudget reference(policy);
    double now = random.Uniform(0, 1e6);
    for (int event = 0; event < 300; ++event) {
      // Mostly little steps, sometimes over the whole window, sometimes a little back.
      now += random.Below(50) == 0 ? random.Uniform(0, 40) : random.Uniform(-0.01, 0.3);
      const MonoTime at = At(now);
      switch (random.Below(3)) {
        case 0:
          budget.RecordFirstAttempt(at);
          reference.RecordFirstAttempt(at);
          break;
        case 1:
          ASSERT_EQ(budget.TryWithdraw(at), reference.TryWithdraw(at)) << round << ' ' << event;
          break;
        default:
          ASSERT_EQ(budget.Remaining(at), reference.Remaining(at)) << round << ' ' << event;
      }
    }
  }
}

// The goal of RT: an upstream that fails everything at 5 requests a second for a minute.
TEST(RetryBudget, ADeadUpstreamSeesAFifthMoreAndThreeForEachWindow) {
  constexpr double kRate = 5;
  constexpr double kSeconds = 60;
  RetryBudget budget((BudgetPolicy()));
  int first_attempts = 0;
  int upstream_requests = 0;
  for (double now = 0; now < kSeconds; now += 1 / kRate) {
    budget.RecordFirstAttempt(At(now));
    ++first_attempts;
    ++upstream_requests;
    for (int retry = 0; retry < 2 && budget.TryWithdraw(At(now)); ++retry) ++upstream_requests;
  }
  const double windows = kSeconds / 10;
  EXPECT_LE(upstream_requests, 1.2 * first_attempts + 3 * windows);
  EXPECT_GT(upstream_requests, first_attempts);
}

// Trap 15: a floor of 10 a second would let every one of these through.
TEST(RetryBudget, BindsAtTheRatesOfLanguageModels) {
  for (const double rate : {0.5, 1.0, 2.0, 5.0, 50.0}) {
    RetryBudget budget((BudgetPolicy()));
    int first_attempts = 0;
    int retries = 0;
    for (double now = 0; now < 120; now += 1 / rate) {
      budget.RecordFirstAttempt(At(now));
      ++first_attempts;
      while (budget.TryWithdraw(At(now))) ++retries;
    }
    EXPECT_LE(retries, 0.2 * first_attempts + 3 * 12 + 1) << rate;
  }
}

TEST(RetryBudget, TheFloorIsThereWithoutAnyTraffic) {
  RetryBudget budget((BudgetPolicy()));
  EXPECT_EQ(budget.Remaining(At(100)), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.TryWithdraw(At(100)));
  EXPECT_FALSE(budget.TryWithdraw(At(100)));
  EXPECT_FALSE(budget.TryWithdraw(At(109.9)));
  EXPECT_FALSE(budget.TryWithdraw(At(110.9)));
  EXPECT_TRUE(budget.TryWithdraw(At(111)));
}

// At the end of a slice and at the begin of another one: the window between them has both.
TEST(RetryBudget, NoWindowHasTheFloorTwiceWhereverItBegins) {
  RetryBudget budget((BudgetPolicy()));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.TryWithdraw(At(100.95)));
  EXPECT_FALSE(budget.TryWithdraw(At(110.05)));
  EXPECT_TRUE(budget.TryWithdraw(At(111.05)));
}

TEST(RetryBudget, ForgetsEverythingAfterAPause) {
  RetryBudget budget({.ratio = 1, .floor = 2, .window = absl::Seconds(10)});
  for (const double pause : {10.0, 11.0, 12.0, 21.0, 22.0, 1000.0}) {
    const double begin = 1e6 + 1000 * pause;
    for (double at = begin; at < begin + 10; at += 0.5) {
      budget.RecordFirstAttempt(At(at));
      EXPECT_TRUE(budget.TryWithdraw(At(at)));
    }
    EXPECT_LE(budget.Remaining(At(begin + 9.5 + pause)), 2u);
    EXPECT_EQ(budget.Remaining(At(begin + 21)), 2u);
  }
}

TEST(RetryBudget, FirstAttemptsEarnRetriesForOneWindow) {
  RetryBudget budget({.ratio = 0.2, .floor = 0, .window = absl::Seconds(10)});
  for (int i = 0; i < 15; ++i) budget.RecordFirstAttempt(At(100));
  EXPECT_EQ(budget.Remaining(At(100)), 3u);
  EXPECT_TRUE(budget.TryWithdraw(At(109)));
  EXPECT_EQ(budget.Remaining(At(109)), 2u);
  EXPECT_EQ(budget.Remaining(At(110)), 0u);
}

TEST(RetryBudget, ARefusedWithdrawalTakesNothing) {
  RetryBudget budget({.ratio = 1, .floor = 0, .window = absl::Seconds(10)});
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(budget.TryWithdraw(At(1)));
  budget.RecordFirstAttempt(At(1));
  EXPECT_TRUE(budget.TryWithdraw(At(1)));
}

TEST(RetryBudget, AReloadKeepsWhatWasSpent) {
  RetryBudget budget((BudgetPolicy()));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.TryWithdraw(At(100)));
  budget.SetPolicy({.ratio = 0.2, .floor = 4, .window = absl::Seconds(5)});
  EXPECT_TRUE(budget.TryWithdraw(At(100)));
  EXPECT_FALSE(budget.TryWithdraw(At(100)));
  EXPECT_EQ(budget.Remaining(At(106)), 4u);
  budget.SetPolicy({.ratio = 0.2, .floor = 1, .window = absl::Seconds(5)});
  EXPECT_EQ(budget.Remaining(At(106)), 1u);
}

TEST(RetryBudget, ManyThreadsNeverTakeMoreThanThereIs) {
  constexpr int kThreads = 4;
  constexpr int kFirstAttempts = 2000;
  RetryBudget budget((BudgetPolicy()));
  std::atomic<int> retries = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&budget, &retries] {
      for (int i = 0; i < kFirstAttempts; ++i) {
        budget.RecordFirstAttempt(At(1));
        if (budget.TryWithdraw(At(1))) ++retries;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (budget.TryWithdraw(At(1))) ++retries;
  EXPECT_EQ(retries, kThreads * kFirstAttempts / 5 + 3);
}

}  // namespace
}  // namespace outrigger::retry
