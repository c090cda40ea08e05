#include "proxy/admin/app_health.h"

#include <gtest/gtest.h>

#include <vector>

#include "proxy/base/random.h"

namespace outrigger::admin {
namespace {

const CheckResult kGood = {CheckOutcome::kSuccess, ""};
const CheckResult kRefusal = {CheckOutcome::kRefused, "connection refused"};
const CheckResult kSlow = {CheckOutcome::kTimeout, "no answer in 2s"};

TEST(AppHealth, IsUnhealthyUntilTheFirstSuccess) {
  AppHealth health("app", {.unhealthy_after = 3, .healthy_after = 2});
  EXPECT_FALSE(health.is_healthy());
  EXPECT_EQ(health.Problem(), "not checked yet");
  EXPECT_FALSE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.is_healthy());
  EXPECT_TRUE(health.Record(kGood, false));
  EXPECT_TRUE(health.is_healthy());
  EXPECT_EQ(health.Problem(), "");
}

TEST(AppHealth, NeedsFailuresInARowToFall) {
  AppHealth health("app", {.unhealthy_after = 3, .healthy_after = 1});
  health.Record(kGood, false);
  EXPECT_FALSE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.Record(kGood, false));
  EXPECT_FALSE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.Record(kRefusal, false));
  EXPECT_TRUE(health.is_healthy());
  EXPECT_TRUE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.is_healthy());
  EXPECT_EQ(health.Problem(), "connection refused (3 of 3 failures)");
  EXPECT_EQ(health.last_outcome(), CheckOutcome::kRefused);
}

TEST(AppHealth, NeedsSuccessesInARowToRecover) {
  AppHealth health("app", {.unhealthy_after = 1, .healthy_after = 2});
  health.Record(kGood, false);
  EXPECT_TRUE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.Record(kGood, false));
  EXPECT_EQ(health.Problem(), "recovering (1 of 2 successes)");
  EXPECT_FALSE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.Record(kGood, false));
  EXPECT_TRUE(health.Record(kGood, false));
  EXPECT_TRUE(health.is_healthy());
}

TEST(AppHealth, ForgivesATimeoutWhileUsersStillGetBytes) {
  AppHealth health("app", {.unhealthy_after = 2, .healthy_after = 1});
  health.Record(kGood, false);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(health.Record(kSlow, true));
  EXPECT_TRUE(health.is_healthy());
  EXPECT_FALSE(health.Record(kSlow, false));
  EXPECT_TRUE(health.Record(kSlow, false));
}

TEST(AppHealth, ForgivesNothingButTimeouts) {
  AppHealth health("app", {.unhealthy_after = 1, .healthy_after = 1});
  health.Record(kGood, false);
  EXPECT_TRUE(health.Record(kRefusal, true));
}

// The rules once more, written as a search through the whole history.
bool Model(const std::vector<bool>& history, int unhealthy_after, int healthy_after) {
  bool healthy = false;
  bool ever = false;
  for (size_t end = 1; end <= history.size(); ++end) {
    int run = 0;
    while (run < static_cast<int>(end) &&
           history[end - 1 - static_cast<size_t>(run)] == history[end - 1])
      ++run;
    if (history[end - 1] && (!ever || run >= healthy_after)) healthy = true;
    if (!history[end - 1] && run >= unhealthy_after) healthy = false;
    ever = ever || history[end - 1];
  }
  return healthy;
}

TEST(AppHealth, EqualsItsModelOnRandomResults) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const int unhealthy_after = 1 + static_cast<int>(random.Below(4));
    const int healthy_after = 1 + static_cast<int>(random.Below(3));
    AppHealth health("app", {unhealthy_after, healthy_after});
    std::vector<bool> history;
    for (int i = 0; i < 60; ++i) {
      history.push_back(random.Below(3) != 0);
      const bool before = health.is_healthy();
      const bool changed = health.Record(history.back() ? kGood : kRefusal, false);
      ASSERT_EQ(health.is_healthy(), Model(history, unhealthy_after, healthy_after)) << i;
      ASSERT_EQ(changed, before != health.is_healthy());
      ASSERT_TRUE(health.is_healthy() || !health.Problem().empty());
    }
  }
}

const CheckResult kCold = {CheckOutcome::kBadStatus, "status 503"};

TEST(AppHealth, IsNotHealthyBeforeAnInferenceSucceeded) {
  AppHealth health("app", {.needs_inference = true});
  EXPECT_FALSE(health.awaits_inference()) << "it is not up yet";
  EXPECT_FALSE(health.Record(kGood, false));
  EXPECT_FALSE(health.is_healthy());
  EXPECT_TRUE(health.awaits_inference());
  EXPECT_EQ(health.Problem(), "the inference probe has not passed yet");
  EXPECT_FALSE(health.RecordInference(kCold));
  EXPECT_EQ(health.Problem(), "the inference probe has not passed: status 503");
  EXPECT_TRUE(health.RecordInference(kGood));
  EXPECT_TRUE(health.is_healthy());
  EXPECT_FALSE(health.awaits_inference());
  EXPECT_EQ(health.Problem(), "");
  EXPECT_EQ(health.inferences_passed(), 1u);
  EXPECT_EQ(health.inferences_failed(), 1u);
}

TEST(AppHealth, NeedsAnotherInferenceOnlyAfterTheChecksHaveFailed) {
  AppHealth health("app", {.unhealthy_after = 2, .needs_inference = true});
  health.Record(kGood, false);
  health.RecordInference(kGood);
  health.Record(kRefusal, false);
  health.Record(kGood, false);
  EXPECT_TRUE(health.is_healthy()) << "one failure is none";
  health.Record(kRefusal, false);
  EXPECT_TRUE(health.Record(kRefusal, false));
  EXPECT_FALSE(health.awaits_inference());
  EXPECT_FALSE(health.RecordInference(kGood)) << "of a service that is down";
  EXPECT_FALSE(health.Record(kGood, false));
  EXPECT_TRUE(health.awaits_inference());
  EXPECT_EQ(health.Problem(), "the inference probe has not passed yet");
  EXPECT_TRUE(health.RecordInference(kGood));
}

// Bytes to users show that a saturated service lives, not that it has passed.
TEST(AppHealth, TakesASlowInferenceForAFailureWhoeverGetsBytes) {
  AppHealth health("app", {.unhealthy_after = 1, .needs_inference = true});
  health.Record(kGood, false);
  health.Record(kSlow, true);
  EXPECT_TRUE(health.awaits_inference()) << "the check that was slow is forgiven";
  health.RecordInference(kSlow);
  EXPECT_FALSE(health.is_healthy());
  EXPECT_TRUE(health.RecordInference(kGood));
  EXPECT_FALSE(health.Record(kSlow, true));
  EXPECT_TRUE(health.is_healthy());
}

TEST(AppHealth, StaysHealthyWhenAReloadBeginsToAskForInferences) {
  AppHealth health("app", {.unhealthy_after = 1});
  health.Record(kGood, false);
  health.SetPolicy({.unhealthy_after = 1, .needs_inference = true});
  EXPECT_TRUE(health.is_healthy());
  EXPECT_FALSE(health.awaits_inference());
  health.Record(kRefusal, false);
  health.Record(kGood, false);
  EXPECT_FALSE(health.is_healthy());
  health.SetPolicy({.unhealthy_after = 1});
  EXPECT_TRUE(health.is_healthy());
  EXPECT_EQ(health.Problem(), "");
}

TEST(AppHealth, EqualsItsModelWithInferences) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const int unhealthy_after = 1 + static_cast<int>(random.Below(4));
    const int healthy_after = 1 + static_cast<int>(random.Below(3));
    AppHealth health("app", {unhealthy_after, healthy_after, /*needs_inference=*/true});
    std::vector<bool> history;
    bool has_inferred = false;  // since the checks made it healthy
    for (int i = 0; i < 100; ++i) {
      const bool is_up = Model(history, unhealthy_after, healthy_after);
      const bool before = health.is_healthy();
      bool changed = false;
      if (random.Below(3) == 0) {
        const bool passes = random.Below(2) == 0;
        changed = health.RecordInference(passes ? kGood : kCold);
        has_inferred = has_inferred || (passes && is_up);
      } else {
        history.push_back(random.Below(3) != 0);
        changed = health.Record(history.back() ? kGood : kRefusal, false);
        has_inferred = has_inferred && Model(history, unhealthy_after, healthy_after);
      }
      ASSERT_EQ(health.is_up(), Model(history, unhealthy_after, healthy_after)) << i;
      ASSERT_EQ(health.is_healthy(), health.is_up() && has_inferred) << i;
      ASSERT_EQ(health.awaits_inference(), health.is_up() && !has_inferred) << i;
      ASSERT_EQ(changed, before != health.is_healthy());
      ASSERT_TRUE(health.is_healthy() || !health.Problem().empty());
    }
  }
}

}  // namespace
}  // namespace outrigger::admin
