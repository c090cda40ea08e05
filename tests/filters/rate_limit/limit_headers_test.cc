#include "filters/rate_limit/limit_headers.h"

#include <gtest/gtest.h>

namespace outrigger::rate_limit {
namespace {

Rule MakeRule(std::string_view rate, int64_t burst, Algorithm algorithm = Algorithm::kTokenBucket) {
  Rule rule;
  rule.name = "req";
  rule.rate = Rate::Parse(rate).value();
  rule.burst = burst;
  rule.algorithm = algorithm;
  return rule;
}

std::string GoDuration(absl::Duration duration) {
  char text[kMaxGoDuration];
  return {text, WriteGoDuration(duration, text)};
}

std::string Value(const http::Request& request, std::string_view name) {
  return std::string(request.response_headers.Get(name).value_or("absent"));
}

TEST(LimitHeaders, TellTheBurstAndTheTimeThatBringsItBack) {
  EXPECT_EQ(PolicyText(MakeRule("100/m", 0)), "\"req\";q=100;w=60");
  EXPECT_EQ(PolicyText(MakeRule("100/s", 0)), "\"req\";q=100;w=1");
  EXPECT_EQ(PolicyText(MakeRule("100/s", 200)), "\"req\";q=200;w=2");
  EXPECT_EQ(PolicyText(MakeRule("5/h", 10)), "\"req\";q=10;w=7200");
  EXPECT_EQ(PolicyText(MakeRule("5/m", 1, Algorithm::kSlidingWindow)), "\"req\";q=1;w=12");
}

TEST(LimitHeaders, NeverTellAWindowThatIsNotAWholeSecond) {
  EXPECT_EQ(PolicyText(MakeRule("10/100ms", 0)), "\"req\";q=100;w=1");
  EXPECT_EQ(PolicyText(MakeRule("3/1500ms", 1)), "\"req\";q=6;w=3");
  // A burst that is back within a millisecond is not a limit of ten a second.
  EXPECT_EQ(PolicyText(MakeRule("10000/s", 10)), "\"req\";q=10000;w=1");
}

TEST(LimitHeaders, WriteDurationsLikeGo) {
  EXPECT_EQ(GoDuration(absl::ZeroDuration()), "0s");
  EXPECT_EQ(GoDuration(absl::Nanoseconds(1)), "1ms");
  EXPECT_EQ(GoDuration(absl::Milliseconds(20)), "20ms");
  EXPECT_EQ(GoDuration(absl::Milliseconds(1200)), "1.2s");
  EXPECT_EQ(GoDuration(absl::Milliseconds(1005)), "1.005s");
  EXPECT_EQ(GoDuration(absl::Minutes(6)), "6m0s");
  EXPECT_EQ(GoDuration(absl::Seconds(3602)), "1h0m2s");
  EXPECT_LE(GoDuration(absl::InfiniteDuration()).size(), kMaxGoDuration);
}

TEST(LimitHeaders, ShowEveryPolicyAndTheStandingOfOneRule) {
  Rule minute = MakeRule("100/m", 0);
  Rule second = MakeRule("10/s", 0);
  second.name = "burst";
  const LimitHeaders headers({.ietf = true, .openai = true}, {&minute, &second});
  Arena arena;
  http::Request request;
  request.arena = &arena;
  headers.Add({.rule = 0, .remaining = 42, .until = absl::Milliseconds(17'001)}, request);
  EXPECT_EQ(Value(request, "RateLimit-Policy"), "\"req\";q=100;w=60, \"burst\";q=10;w=1");
  EXPECT_EQ(Value(request, "RateLimit"), "\"req\";r=42;t=18");
  EXPECT_EQ(Value(request, "x-ratelimit-limit-requests"), "100");
  EXPECT_EQ(Value(request, "x-ratelimit-remaining-requests"), "42");
  EXPECT_EQ(Value(request, "x-ratelimit-reset-requests"), "17.001s");
}

TEST(LimitHeaders, OfALaterAttemptReplaceThoseBefore) {
  const Rule rule = MakeRule("100/m", 0);
  const LimitHeaders headers({.ietf = true, .openai = true}, {&rule});
  Arena arena;
  http::Request request;
  request.arena = &arena;
  request.response_headers.Add("x-request-id", "r");
  headers.Add({.rule = 0, .remaining = 9, .until = absl::Seconds(1)}, request);
  request.attempt = 2;
  headers.Add({.rule = 0, .remaining = 8, .until = absl::Seconds(2)}, request);
  EXPECT_EQ(request.response_headers.size(), 6u);
  EXPECT_EQ(Value(request, "RateLimit"), "\"req\";r=8;t=2");
  EXPECT_EQ(Value(request, "x-request-id"), "r");
}

TEST(LimitHeaders, SayOnlyWhatWasAskedFor) {
  const Rule rule = MakeRule("100/m", 0);
  const LimitHeaders none({.ietf = false, .openai = false}, {&rule});
  Arena arena;
  http::Request request;
  request.arena = &arena;
  none.Add({.rule = 0, .remaining = 9, .until = absl::Seconds(1)}, request);
  EXPECT_TRUE(request.response_headers.empty());
  http::HeaderList of_service;
  of_service.Add("x-ratelimit-limit-requests", "7");
  none.RemoveFrom(of_service);
  EXPECT_EQ(of_service.size(), 1u);
  LimitHeaders({.ietf = false, .openai = true}, {&rule}).RemoveFrom(of_service);
  EXPECT_TRUE(of_service.empty());
}

}  // namespace
}  // namespace outrigger::rate_limit
