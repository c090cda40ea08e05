#include "proxy/admin/health.h"

#include <gtest/gtest.h>

namespace outrigger::admin {
namespace {

const MonoTime kStart = MonoTime::FromNanos(1'000'000'000'000);

MonoTime At(double seconds) { return kStart + absl::Seconds(seconds); }

// The observer runs all the time, as the admin thread does.
void ObserveUntil(HealthState& health, double from, double to) {
  for (double at = from; at <= to; at += 0.5) health.Observe(At(at));
}

TEST(HealthState, IsAliveWhileEveryWorkerTicks) {
  HealthState health({.workers = 2, .started_at = kStart});
  for (double at = 0; at < 60; at += 1) {
    health.Observe(At(at));
    health.WorkerTicked(0, At(at));
    health.WorkerTicked(1, At(at));
    ASSERT_TRUE(health.Live(At(at + 0.9)).ok()) << at;
  }
}

TEST(HealthState, IsDeadWithinSixSecondsOfAWorkersLastTick) {
  HealthState health({.workers = 2, .started_at = kStart});
  health.WorkerTicked(0, At(0));
  health.WorkerTicked(1, At(0));
  for (double at = 0.5; at <= 6; at += 0.5) {
    health.WorkerTicked(0, At(at));
    ASSERT_EQ(health.Live(At(at)).ok(), at <= 5) << at;
  }
  EXPECT_EQ(health.Live(At(6)).Text(),
            "[+]ping ok\n[+]worker-0 ok\n[-]worker-1 failed: no tick for 6.0 s\n"
            "livez check failed\n");
  health.WorkerTicked(1, At(6.1));
  EXPECT_TRUE(health.Live(At(6.2)).ok());
}

TEST(HealthState, IsDeadWhenAWorkerNeverStarts) {
  HealthState health({.workers = 1, .started_at = kStart});
  ObserveUntil(health, 0, 5);
  EXPECT_TRUE(health.Live(At(5)).ok());
  EXPECT_FALSE(health.Live(At(5.5)).ok());
}

TEST(HealthState, ForgivesAPauseOfTheWholeProcess) {
  HealthState health({.workers = 1, .started_at = kStart});
  health.WorkerTicked(0, At(0));
  health.Observe(At(0.5));
  // Stopped for a minute; the probe comes before the worker could tick.
  EXPECT_TRUE(health.Live(At(60)).ok());
  // But if it stays silent now, it is stuck.
  ObserveUntil(health, 60.5, 65);
  EXPECT_TRUE(health.Live(At(65)).ok());
  EXPECT_FALSE(health.Live(At(65.5)).ok());
}

TEST(HealthState, LivenessKnowsNothingOfServiceOrDrain) {
  HealthState health({.workers = 1, .started_at = kStart});
  health.SetApps({std::make_shared<AppHealth>("app", AppHealth::Policy{})});
  health.SetDraining();
  health.WorkerTicked(0, At(0));
  EXPECT_TRUE(health.Live(At(1)).ok());
}

TEST(HealthState, HasStartedWhenLoadedBoundAndRunning) {
  HealthState health({.workers = 2, .started_at = kStart});
  // A service that is not up must not keep a native sidecar from having started.
  health.SetApps({std::make_shared<AppHealth>("app", AppHealth::Policy{})});
  EXPECT_EQ(health.Started().Text(),
            "[-]config failed: not loaded yet\n[-]listeners failed: not bound yet\n"
            "[-]worker-0 failed: not running yet\n[-]worker-1 failed: not running yet\n"
            "startupz check failed\n");
  health.SetConfigLoaded();
  health.SetListenersBound();
  health.WorkerTicked(0, At(0));
  EXPECT_FALSE(health.Started().ok());
  health.WorkerTicked(1, At(0));
  EXPECT_TRUE(health.Started().ok());
}

TEST(HealthState, IsReadyWhenAllOfItsConditionsHold) {
  for (int mask = 0; mask < 16; ++mask) {
    SCOPED_TRACE(mask);
    HealthState health({.workers = 1, .started_at = kStart});
    auto app = std::make_shared<AppHealth>("app", AppHealth::Policy{});
    health.SetApps({app});
    if ((mask & 1) != 0) health.SetConfigLoaded();
    if ((mask & 2) != 0) health.SetListenersBound();
    if ((mask & 4) != 0) app->Record({CheckOutcome::kSuccess, ""}, false);
    if ((mask & 8) != 0) health.SetDraining();
    EXPECT_EQ(health.Ready().ok(), mask == 7);
  }
}

TEST(HealthState, SaysWhatIsWrongWithTheService) {
  HealthState health({.workers = 1, .started_at = kStart});
  auto app = std::make_shared<AppHealth>("llm", AppHealth::Policy{});
  app->Record({CheckOutcome::kBadStatus, "status 503"}, false);
  health.SetApps({app});
  health.SetConfigLoaded();
  health.SetListenersBound();
  EXPECT_EQ(health.Ready().Text(),
            "[+]config ok\n[+]listeners ok\n[+]drain ok\n"
            "[-]app-llm failed: status 503 (1 of 3 failures)\nreadyz check failed\n");
}

TEST(HealthState, ReadinessCanDependOnMore) {
  HealthState health({.workers = 1, .started_at = PreciseNow()});
  health.SetConfigLoaded();
  health.SetListenersBound();
  std::string problem;
  health.SetReadyCheck("breakers", [&problem] { return problem; });
  EXPECT_TRUE(health.Ready().ok());
  problem = "open: app/chat";
  EXPECT_FALSE(health.Ready().ok());
  EXPECT_NE(health.Ready().Text().find("[-]breakers failed: open: app/chat"), std::string::npos);
  EXPECT_TRUE(health.Live(PreciseNow()).checks.size() == 2);
}

}  // namespace
}  // namespace outrigger::admin
