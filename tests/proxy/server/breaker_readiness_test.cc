#include "proxy/server/breaker_readiness.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace outrigger::server {
namespace {

class BreakerReadinessTest : public testing::Test {
 protected:
  std::shared_ptr<breaker::Breaker> Make(const std::string& id) {
    return registry_.Get(id, policy_, now_);
  }
  void Open(breaker::Breaker& breaker) {
    auto permit = breaker.TryAcquire(now_);
    ASSERT_TRUE(permit.ok());
    permit->Record(breaker::Outcome::kFailure, false, now_);
  }

  BreakerReadinessTest() {
    policy_.consecutive = 1;
    policy_.open_for = policy_.max_open_for = absl::Seconds(10);
  }

  MonoTime now_ = MonoTime::FromNanos(1'000'000'000'000);
  breaker::Policy policy_;
  breaker::BreakerRegistry registry_{1};
  BreakerReadiness readiness_{registry_, absl::Seconds(30)};
};

TEST_F(BreakerReadinessTest, IsReadyAgainWhenAProbeIsDue) {
  const auto chat = Make("app/chat");
  const auto other = Make("app/other");
  EXPECT_EQ(readiness_.Problem(now_), "");
  Open(*chat);
  EXPECT_EQ(readiness_.Problem(now_), "open: app/chat");
  Open(*other);
  EXPECT_EQ(readiness_.Problem(now_), "open: app/chat, app/other");
  now_ = now_ + absl::Seconds(10);  // the request that is the probe must reach the pod
  EXPECT_EQ(readiness_.Problem(now_), "");
}

TEST_F(BreakerReadinessTest, BreakerThatIsProbedByPathCountsUntilItIsClosed) {
  policy_.probe.path = "/health";
  policy_.successes_to_close = 1;
  const auto chat = Make("app/chat");
  Open(*chat);
  now_ = now_ + absl::Seconds(10);
  EXPECT_EQ(readiness_.Problem(now_), "open: app/chat");
  auto probe = chat->TryAcquireProbe(now_);
  ASSERT_TRUE(probe.ok());
  EXPECT_EQ(readiness_.Problem(now_), "open: app/chat");
  probe->Record(breaker::Outcome::kSuccess, false, now_);
  EXPECT_EQ(readiness_.Problem(now_), "");
}

TEST_F(BreakerReadinessTest, IsNotUnreadyForLongerThanItMay) {
  const auto chat = Make("app/chat");
  chat->SetOverride(breaker::Override::kForcedOpen, now_);
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(readiness_.Problem(now_), "open: app/chat") << i;
    now_ = now_ + absl::Seconds(1);
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(readiness_.Problem(now_), "") << i;
    now_ = now_ + absl::Seconds(1);
  }
  // Once closed, it counts anew.
  chat->SetOverride(breaker::Override::kForcedClosed, now_);
  EXPECT_EQ(readiness_.Problem(now_), "");
  chat->SetOverride(breaker::Override::kForcedOpen, now_);
  EXPECT_EQ(readiness_.Problem(now_), "open: app/chat");
}

TEST_F(BreakerReadinessTest, ShadowRefusesNothing) {
  policy_.mode = breaker::Mode::kShadow;
  const auto chat = Make("app/chat");
  Open(*chat);
  EXPECT_EQ(readiness_.Problem(now_), "");
}

}  // namespace
}  // namespace outrigger::server
