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

}  // namespace
}  // namespace outrigger::admin
