#include "filters/breaker/breaker.h"

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::breaker {
namespace {

MonoTime At(double seconds) {
  return MonoTime::FromNanos(1'000'000'000'000 + static_cast<int64_t>(seconds * 1e9));
}

MonoTime OpenByFailures(Breaker& breaker, MonoTime now) {
  for (;;) {
    auto permit = breaker.TryAcquire(now);
    if (!permit.ok()) return now + permit.error().retry_after;
    permit->Record(Outcome::kFailure, false, now);
  }
}

TEST(Breaker, ADroppedPermitCountsNothingAndFreesTheProbesPlace) {
  const auto breaker = Breaker::Create("app/chat", Policy(), 1, At(0));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(breaker->TryAcquire(At(0)).ok());
  EXPECT_EQ(breaker->TakeSnapshot(At(0)).counts, Counts{});
  const MonoTime now = OpenByFailures(*breaker, At(0));
  {
    const auto probe = breaker->TryAcquire(now);
    ASSERT_TRUE(probe.ok());
    EXPECT_TRUE(probe->is_probe());
    EXPECT_FALSE(breaker->TryAcquire(now).ok());
  }
  EXPECT_TRUE(breaker->TryAcquire(now).ok());
}

TEST(Breaker, AMovedPermitIsOnePermit) {
  const auto breaker = Breaker::Create("app/chat", Policy(), 1, At(0));
  const MonoTime now = OpenByFailures(*breaker, At(0));
  auto probe = breaker->TryAcquire(now);
  ASSERT_TRUE(probe.ok());
  Permit held = std::move(probe).value();
  Permit other;
  other = std::move(held);
  EXPECT_FALSE(breaker->TryAcquire(now).ok());
  other = Permit();
  EXPECT_TRUE(breaker->TryAcquire(now).ok());
}

TEST(Breaker, TheFirstVerdictCounts) {
  const auto breaker = Breaker::Create("app/chat", Policy(), 1, At(0));
  auto permit = breaker->TryAcquire(At(0));
  permit->RecordLateFailure(At(0));  // not judged yet
  permit->Record(Outcome::kSuccess, false, At(0));
  permit->Record(Outcome::kFailure, false, At(0));
  EXPECT_EQ(breaker->TakeSnapshot(At(0)).counts.samples, 1);
  EXPECT_EQ(breaker->TakeSnapshot(At(0)).counts.failures, 0);
  permit->RecordLateFailure(At(0));
  permit->RecordLateFailure(At(0));
  EXPECT_EQ(breaker->TakeSnapshot(At(0)).counts.failures, 1);
}

TEST(Breaker, APermitOutlivesItsBreakersOwner) {
  auto breaker = Breaker::Create("app/chat", Policy(), 1, At(0));
  auto permit = breaker->TryAcquire(At(0));
  breaker.reset();
  permit->Record(Outcome::kFailure, false, At(1));
}

TEST(Breaker, TellsTheListenerOfEveryTransition) {
  std::vector<std::pair<State, Cause>> seen;
  const auto breaker =
      Breaker::Create("app/chat", Policy(), 1, At(0), [&](Breaker& of, const Transition& change) {
        EXPECT_EQ(of.id(), "app/chat");
        EXPECT_EQ(of.TakeSnapshot(At(0)).state, change.to);  // may look, no lock is held
        seen.emplace_back(change.to, change.cause);
      });
  const MonoTime now = OpenByFailures(*breaker, At(0));
  for (int i = 0; i < 3; ++i) breaker->TryAcquire(now)->Record(Outcome::kSuccess, false, now);
  breaker->SetOverride(Override::kForcedOpen, now);
  const std::vector<std::pair<State, Cause>> expected = {
      {State::kOpen, Cause::kConsecutiveFailures},
      {State::kHalfOpen, Cause::kOpenTimeOver},
      {State::kClosed, Cause::kProbesSucceeded},
      {State::kOpen, Cause::kManual}};
  EXPECT_EQ(seen, expected);
}

TEST(Breaker, NeverHasTwoProbesAmongThreads) {
  Policy policy;
  policy.open_for = absl::Milliseconds(1);
  policy.max_open_for = absl::Milliseconds(2);
  const auto breaker = Breaker::Create("app/chat", policy, 1, At(0));
  std::atomic<int64_t> clock{At(0).nanos()};
  std::atomic<int> probes{0};
  std::atomic<int> most_probes{0};
  std::atomic<int> all_probes{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(static_cast<uint64_t>(t));
      for (int i = 0; i < 20'000; ++i) {
        const MonoTime now =
            MonoTime::FromNanos(clock.fetch_add(static_cast<int64_t>(random.Below(20'000))));
        auto permit = breaker->TryAcquire(now);
        if (!permit.ok()) continue;
        const bool is_probe = permit->is_probe();
        if (is_probe) {
          ++all_probes;
          const int current = probes.fetch_add(1) + 1;
          int most = most_probes.load();
          while (current > most && !most_probes.compare_exchange_weak(most, current)) continue;
          probes.fetch_sub(1);
        }
        const uint64_t draw = random.Below(4);
        if (draw == 0) permit->Record(Outcome::kSuccess, false, now);
        if (draw > 1) permit->Record(Outcome::kFailure, false, now);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(all_probes.load(), 10);
  EXPECT_EQ(most_probes.load(), 1);
}

}  // namespace
}  // namespace outrigger::breaker
