#include "filters/retry/decide.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace outrigger::retry {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using common::Event;
using http::Effects;

const MonoTime kNow = MonoTime::FromNanos(1'000'000'000'000);

AttemptResult After(Event event, Effects effects = Effects::kNone, int status = 0) {
  return {.event = event, .verdict = common::Decide(event, effects), .status = status};
}

class RetryLoopTest : public testing::Test {
 protected:
  RetryLoop Loop(int caller_attempt = 1) {
    return RetryLoop(policy_, budget_, caller_attempt, random_);
  }
  RetryDecision Once(const AttemptResult& result) { return Loop().AfterAttempt(result, kNow); }

  RetryPolicy policy_;
  // Does not bind unless a test wants it to.
  RetryBudget budget_{{.ratio = 0, .floor = 1'000'000, .window = absl::Seconds(10)}};
  Random random_{1};
};

TEST_F(RetryLoopTest, FollowsTheOutcomeTable) {
  struct Row {
    Event event;
    bool repeatable;
    bool unsafe;
  };
  const Row rows[] = {
      {Event::kOwnRejection, false, false},
      {Event::kOwnIdempotencyRefusal, false, false},
      {Event::kConnectFailed, true, true},
      {Event::kStreamRefused, true, true},
      {Event::kGoawayUnprocessed, true, true},
      {Event::kReusedConnectionClosed, true, false},
      {Event::kReset, true, false},
      {Event::kTimeout, true, false},
      {Event::kNotProcessed, true, true},
      {Event::kThrottled, true, true},
      {Event::kUnavailable, true, false},
      {Event::kServerError, true, false},
      {Event::kSuccess, false, false},
      {Event::kAnswered, false, false},
      {Event::kUnauthorized, false, false},
      {Event::kRefusedByApp, false, false},
      {Event::kStreamErrorThrottled, true, true},
      {Event::kStreamErrorServer, true, false},
      {Event::kStreamErrorInvalid, false, false},
      {Event::kStreamBroken, false, false},
      {Event::kGrpcUnavailableUnsent, true, true},
      {Event::kGrpcExhaustedUnsent, true, true},
      {Event::kGrpcUnavailable, true, false},
      {Event::kGrpcExhausted, true, false},
      {Event::kGrpcTimeout, true, false},
      {Event::kGrpcServerError, true, false},
      {Event::kRequestCutShort, false, false},
      {Event::kClientGone, false, false},
      {Event::kClientGoneAfterSlowWait, false, false},
  };
  ASSERT_EQ(std::size(rows), static_cast<size_t>(Event::kCount));
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(common::EventName(row.event)));
    EXPECT_EQ(Once(After(row.event, Effects::kNone)).is_retry, row.repeatable);
    EXPECT_EQ(Once(After(row.event, Effects::kKeyed)).is_retry, row.repeatable);
    EXPECT_EQ(Once(After(row.event, Effects::kUnsafe)).is_retry, row.unsafe);
  }
}

TEST_F(RetryLoopTest, MakesTwoRetriesByDefault) {
  RetryLoop loop = Loop();
  EXPECT_EQ(loop.attempts(), 1);
  EXPECT_TRUE(loop.AfterAttempt(After(Event::kServerError), kNow).is_retry);
  EXPECT_TRUE(loop.AfterAttempt(After(Event::kReset), kNow).is_retry);
  EXPECT_EQ(loop.attempts(), 3);
  const RetryDecision last = loop.AfterAttempt(After(Event::kServerError), kNow);
  EXPECT_FALSE(last.is_retry);
  EXPECT_EQ(last.stop, StopCause::kAttempts);
  EXPECT_TRUE(IsExhausted(last.stop));
  EXPECT_EQ(loop.attempts(), 3);
}

TEST_F(RetryLoopTest, StopsForEachCauseInItsWords) {
  struct Row {
    AttemptResult result;
    StopCause stop;
  };
  std::vector<Row> rows(9, {After(Event::kServerError), StopCause::kNone});
  rows[0] = {After(Event::kSuccess), StopCause::kNotRetryable};
  rows[1].result.is_committed = true;
  rows[1].stop = StopCause::kCommitted;
  rows[2].result.hint.is_forbidden = true;
  rows[2].stop = StopCause::kForbidden;
  rows[3].result.is_body_kept = false;
  rows[3].stop = StopCause::kBodyNotKept;
  rows[4].result.is_inner_exhausted = true;
  rows[4].stop = StopCause::kInnerExhausted;
  rows[5].result.hint.wait = Seconds(31);
  rows[5].stop = StopCause::kAskedWait;
  rows[6].result.remaining = absl::ZeroDuration();
  rows[6].stop = StopCause::kDeadline;
  rows[7].result.remaining = -Seconds(1);
  rows[7].stop = StopCause::kDeadline;
  for (const Row& row : rows) {
    const RetryDecision decision = Once(row.result);
    SCOPED_TRACE(std::string(StopCauseName(row.stop)));
    EXPECT_EQ(decision.stop, row.stop);
    EXPECT_EQ(decision.is_retry, row.stop == StopCause::kNone);
    EXPECT_FALSE(StopCauseName(row.stop).empty());
  }
}

TEST_F(RetryLoopTest, StopsWhenBudgetIsEmptyAndTakesNothingBefore) {
  RetryBudget small({.ratio = 0, .floor = 1, .window = Seconds(10)});
  RetryLoop loop(policy_, small, 1, random_);
  AttemptResult late = After(Event::kServerError);
  late.remaining = absl::ZeroDuration();
  EXPECT_EQ(loop.AfterAttempt(late, kNow).stop, StopCause::kDeadline);
  EXPECT_EQ(small.Remaining(kNow), 1u);
  EXPECT_TRUE(loop.AfterAttempt(After(Event::kServerError), kNow).is_retry);
  const RetryDecision refused = loop.AfterAttempt(After(Event::kServerError), kNow);
  EXPECT_EQ(refused.stop, StopCause::kBudget);
  EXPECT_TRUE(IsExhausted(refused.stop));
  EXPECT_EQ(loop.attempts(), 2);
}

TEST_F(RetryLoopTest, WaitsByTheBackoffOfThePolicy) {
  policy_.backoff = {BackoffKind::kExponential, Milliseconds(100), Seconds(10)};
  RetryLoop loop = Loop();
  EXPECT_EQ(loop.AfterAttempt(After(Event::kServerError), kNow).wait, Milliseconds(100));
  EXPECT_EQ(loop.AfterAttempt(After(Event::kConnectFailed), kNow).wait, Milliseconds(200));
}

TEST_F(RetryLoopTest, ThrottlingWithoutAWaitUsesTheProviderBackoff) {
  for (int i = 0; i < 100; ++i) {
    const absl::Duration wait = Once(After(Event::kThrottled)).wait;
    ASSERT_GE(wait, Milliseconds(375));
    ASSERT_LE(wait, Milliseconds(500));
  }
}

TEST_F(RetryLoopTest, WaitsAtLeastWhatWasAskedAndAtMostATenthMore) {
  for (const Event event : {Event::kThrottled, Event::kUnavailable, Event::kServerError}) {
    AttemptResult result = After(event);
    result.hint.wait = Seconds(10);
    for (int i = 0; i < 100; ++i) {
      const RetryDecision decision = Once(result);
      ASSERT_TRUE(decision.is_retry);
      ASSERT_GE(decision.wait, Seconds(10));
      ASSERT_LE(decision.wait, Seconds(11));
    }
  }
}

// Trap 12: never retry early what asks for longer than we are ready to wait.
TEST_F(RetryLoopTest, AnAskedWaitThatDoesNotFitIsPassedOn) {
  struct Row {
    absl::Duration asked;
    absl::Duration remaining;
    StopCause stop;
  };
  const Row rows[] = {
      {Seconds(30), absl::InfiniteDuration(), StopCause::kNone},
      {Milliseconds(30001), absl::InfiniteDuration(), StopCause::kAskedWait},
      {absl::InfiniteDuration(), absl::InfiniteDuration(), StopCause::kAskedWait},
      {Seconds(5), Seconds(4), StopCause::kAskedWait},
      {Seconds(5), Seconds(6), StopCause::kNone},
      {absl::ZeroDuration(), Seconds(6), StopCause::kNone},
  };
  for (const Row& row : rows) {
    AttemptResult result = After(Event::kThrottled);
    result.hint.wait = row.asked;
    result.remaining = row.remaining;
    EXPECT_EQ(Once(result).stop, row.stop) << absl::FormatDuration(row.asked);
  }
}

TEST_F(RetryLoopTest, NeedsTimeForTheWaitAndAFirstToken) {
  policy_.backoff = {BackoffKind::kFixed, Seconds(1), Seconds(1)};
  AttemptResult result = After(Event::kServerError);
  result.p50_ttft = Seconds(2);
  result.remaining = Milliseconds(2999);
  EXPECT_EQ(Once(result).stop, StopCause::kDeadline);
  result.remaining = Seconds(3);
  EXPECT_TRUE(Once(result).is_retry);
}

TEST_F(RetryLoopTest, TheReusedConnectionIsReplacedOnceForFree) {
  const uint64_t before = budget_.Remaining(kNow);
  RetryLoop loop = Loop();
  const RetryDecision first = loop.AfterAttempt(After(Event::kReusedConnectionClosed), kNow);
  EXPECT_TRUE(first.is_retry);
  EXPECT_TRUE(first.is_free);
  EXPECT_TRUE(first.needs_new_connection);
  EXPECT_EQ(first.wait, absl::ZeroDuration());
  EXPECT_EQ(budget_.Remaining(kNow), before);
  EXPECT_EQ(loop.AfterAttempt(After(Event::kReusedConnectionClosed), kNow).stop,
            StopCause::kNotRetryable);
  // The free one does not count against the two others.
  EXPECT_TRUE(loop.AfterAttempt(After(Event::kServerError), kNow).is_retry);
  EXPECT_TRUE(loop.AfterAttempt(After(Event::kServerError), kNow).is_retry);
  EXPECT_EQ(loop.AfterAttempt(After(Event::kServerError), kNow).stop, StopCause::kAttempts);
  EXPECT_EQ(loop.attempts(), 4);
}

TEST_F(RetryLoopTest, OnlyTheFirstRefusedStreamIsFree) {
  RetryLoop loop = Loop();
  EXPECT_TRUE(loop.AfterAttempt(After(Event::kStreamRefused), kNow).is_free);
  const RetryDecision second = loop.AfterAttempt(After(Event::kStreamRefused), kNow);
  EXPECT_TRUE(second.is_retry);
  EXPECT_FALSE(second.is_free);
}

TEST_F(RetryLoopTest, AnUnauthorizedIsTriedOnceWithARenewedCredential) {
  AttemptResult result = After(Event::kUnauthorized, Effects::kUnsafe, 401);
  EXPECT_EQ(Once(result).stop, StopCause::kNotRetryable);
  result.holds_credential = true;
  RetryLoop loop = Loop();
  const RetryDecision first = loop.AfterAttempt(result, kNow);
  EXPECT_TRUE(first.is_retry);
  EXPECT_EQ(first.wait, absl::ZeroDuration());
  EXPECT_EQ(loop.AfterAttempt(result, kNow).stop, StopCause::kNotRetryable);
}

TEST_F(RetryLoopTest, ACallerThatRetriesItselfGetsOneRetry) {
  for (const int caller_attempt : {2, 3, 10}) {
    RetryLoop loop = Loop(caller_attempt);
    EXPECT_TRUE(loop.AfterAttempt(After(Event::kServerError), kNow).is_retry);
    const RetryDecision decision = loop.AfterAttempt(After(Event::kServerError), kNow);
    EXPECT_EQ(decision.stop, StopCause::kCallerRetries);
    EXPECT_TRUE(IsExhausted(decision.stop));
  }
}

TEST_F(RetryLoopTest, CausesHaveTheirOwnNumberAndDelay) {
  policy_.backoff.kind = BackoffKind::kFixed;
  policy_.causes = {{"timeout", 3, Seconds(1)}, {"503", 1, Seconds(2)}, {"502", 0, Seconds(0)}};
  RetryLoop loop = Loop();
  for (int i = 0; i < 3; ++i) {
    const RetryDecision decision = loop.AfterAttempt(After(Event::kTimeout), kNow);
    ASSERT_TRUE(decision.is_retry);
    EXPECT_EQ(decision.wait, Seconds(1));
  }
  EXPECT_EQ(loop.AfterAttempt(After(Event::kTimeout), kNow).stop, StopCause::kAttempts);
  const AttemptResult unavailable = After(Event::kUnavailable, Effects::kNone, 503);
  EXPECT_EQ(loop.AfterAttempt(unavailable, kNow).wait, Seconds(2));
  EXPECT_EQ(loop.AfterAttempt(unavailable, kNow).stop, StopCause::kAttempts);
  EXPECT_EQ(loop.AfterAttempt(After(Event::kServerError, Effects::kNone, 502), kNow).stop,
            StopCause::kAttempts);
  // What has no rule of its own keeps the policy's.
  EXPECT_EQ(loop.AfterAttempt(After(Event::kServerError, Effects::kNone, 500), kNow).wait,
            Milliseconds(25));
}

TEST_F(RetryLoopTest, ACauseCannotAllowWhatTheTableForbids) {
  policy_.causes = {{"400", 2, Seconds(0)}, {"timeout", 3, Seconds(0)}, {"500", 3, Seconds(0)}};
  EXPECT_EQ(Once(After(Event::kAnswered, Effects::kNone, 400)).stop, StopCause::kNotRetryable);
  EXPECT_EQ(Once(After(Event::kTimeout, Effects::kUnsafe)).stop, StopCause::kNotRetryable);
  EXPECT_EQ(Once(After(Event::kServerError, Effects::kUnsafe, 500)).stop, StopCause::kNotRetryable);
}

// 0 retries after commit and 0 second executions of unsafe work, whatever else is true.
TEST_F(RetryLoopTest, NoRandomInputRepeatsCommittedOrUnsafeWork) {
  constexpr uint64_t kSeed = 31337;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  policy_.causes = {{"timeout", 5, Seconds(0)}, {"500", 5, Seconds(0)}};
  for (int round = 0; round < 100000; ++round) {
    const auto event = static_cast<Event>(random.Below(static_cast<uint64_t>(Event::kCount)));
    const auto effects = static_cast<Effects>(random.Below(3));
    AttemptResult result = After(event, effects, static_cast<int>(400 + random.Below(200)));
    result.is_committed = random.Below(2) == 0;
    result.holds_credential = random.Below(2) == 0;
    result.remaining = Milliseconds(static_cast<int64_t>(random.Below(60000)));
    if (random.Below(2) == 0) {
      result.hint.wait = Milliseconds(static_cast<int64_t>(random.Below(60000)));
    }
    RetryLoop loop = Loop(1 + static_cast<int>(random.Below(3)));
    const RetryDecision decision = loop.AfterAttempt(result, kNow);
    ASSERT_EQ(decision.is_retry, decision.stop == StopCause::kNone);
    if (!decision.is_retry) continue;
    ASSERT_FALSE(result.is_committed);
    ASSERT_LE(decision.wait, result.remaining);
    const bool may_have_run = result.verdict.executed != http::Executed::kNo;
    ASSERT_FALSE(effects == Effects::kUnsafe && may_have_run && event != Event::kUnauthorized);
  }
}

TEST(CauseNames, AreClassesOrErrorStatuses) {
  for (const std::string_view name :
       {"connect", "reset", "timeout", "throttled", "400", "503", "599"}) {
    EXPECT_TRUE(IsCauseName(name)) << name;
  }
  for (const std::string_view name :
       {"", "Timeout", "200", "399", "600", "5xx", "50", "5000", "-50"}) {
    EXPECT_FALSE(IsCauseName(name)) << name;
  }
}

TEST(CallerAttempt, IsTheHighestThatAnyFieldSays) {
  struct Row {
    std::string_view name;
    std::string_view value;
    int attempt;
  };
  const Row rows[] = {
      {"x-stainless-retry-count", "0", 1},
      {"x-stainless-retry-count", "1", 2},
      {"x-stainless-retry-count", " 2 ", 3},
      {"x-envoy-attempt-count", "1", 1},
      {"x-envoy-attempt-count", "2", 2},
      {"x-envoy-attempt-count", "0", 1},
      {"grpc-previous-rpc-attempts", "1", 2},
      {"x-outrigger-attempt", "1", 1},
      {"X-Outrigger-Attempt", "3", 3},
      {"x-outrigger-other", "3", 1},
      {"x-stainless-retry-count", "-1", 1},
      {"x-stainless-retry-count", "many", 1},
      {"x-stainless-retry-count", "", 1},
      {"x-stainless-retry-count", "1.0", 1},
      {"x-stainless-retry-count", "99999999999", 1},
      {"x-stainless-retry-count", "2147483647", 1001},
      {"accept", "5", 1},
  };
  for (const Row& row : rows) {
    http::HeaderList headers;
    headers.Add(row.name, row.value);
    EXPECT_EQ(CallerAttempt(headers), row.attempt) << row.name << ": " << row.value;
  }
  http::HeaderList headers;
  EXPECT_EQ(CallerAttempt(headers), 1);
  headers.Add("x-envoy-attempt-count", "2");
  headers.Add("x-stainless-retry-count", "3");
  EXPECT_EQ(CallerAttempt(headers), 4);
}

}  // namespace
}  // namespace outrigger::retry
