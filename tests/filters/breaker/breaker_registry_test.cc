#include "filters/breaker/breaker_registry.h"

#include <memory>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"

namespace outrigger::breaker {
namespace {

MonoTime At(double seconds) { return MonoTime::FromNanos(static_cast<int64_t>(seconds * 1e9)); }

TEST(BreakerRegistry, FindsABreakerAgainAsItWas) {
  BreakerRegistry registry(1);
  EXPECT_EQ(registry.Find("app/chat"), nullptr);
  const auto breaker = registry.Get(ScopeId("app", "chat"), Policy(), At(0));
  breaker->SetOverride(Override::kForcedOpen, At(0));
  // As a reload does.
  Policy policy;
  policy.consecutive = 9;
  EXPECT_EQ(registry.Get("app/chat", policy, At(1)), breaker);
  EXPECT_EQ(registry.Find("app/chat"), breaker);
  EXPECT_EQ(breaker->TakeSnapshot(At(1)).state, State::kOpen);
}

TEST(BreakerRegistry, MakesAtMostTwoHundredAndFiftySixAndOneToShare) {
  BreakerRegistry registry(1);
  std::vector<std::shared_ptr<Breaker>> held;
  for (int i = 0; i < 300; ++i) {
    held.push_back(registry.Get(fmt::format("upstream-{:03}/chat", i), Policy(), At(0)));
  }
  EXPECT_EQ(registry.List().size(), 257u);
  EXPECT_NE(held[254], held[255]);
  EXPECT_EQ(held[256], held[299]);
  EXPECT_EQ(held[256]->id(), "overflow");
  EXPECT_EQ(registry.Find("overflow"), held[256]);
  EXPECT_EQ(registry.List().back(), held[256]);
  EXPECT_EQ(registry.Get("upstream-007/chat", Policy(), At(0)), held[7]);
}

TEST(BreakerRegistry, UnusedBreakersGiveWay) {
  BreakerRegistry registry(1, nullptr, 2);
  const auto used = registry.Get("a", Policy(), At(0));
  registry.Get("b", Policy(), At(0));
  EXPECT_EQ(registry.List().size(), 2u);
  const auto next = registry.Get("c", Policy(), At(0));
  EXPECT_EQ(next->id(), "c");
  EXPECT_EQ(registry.Find("a"), used);
  EXPECT_EQ(registry.Find("b"), nullptr);
}

TEST(BreakerRegistry, PassesTheListenerOn) {
  int calls = 0;
  BreakerRegistry registry(1, [&](Breaker&, const Transition&) { ++calls; });
  registry.Get("a", Policy(), At(0))->SetOverride(Override::kForcedOpen, At(0));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace outrigger::breaker
