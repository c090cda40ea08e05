#include "filters/retry/retry_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "filters/common/commit_gate.h"
#include "proxy/base/pooled.h"
#include "tests/filters/retry/retry_worker.h"
#include "tests/support/chain_of.h"

namespace outrigger::retry {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using http::Effects;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;
using ::testing::HasSubstr;
using ::testing::Not;

const Failure kConnectFailed{.reason = Reason::kConnectFail, .phase = Phase::kConnect};
const Failure kReset{
    .reason = Reason::kUpstreamReset, .phase = Phase::kAwaitingHead, .executed = Executed::kMaybe};

struct RetryRun : FilterRun {
  RetryRun(RetryWorker& worker, Effects effects = Effects::kNone)
      : FilterRun(worker.loop, worker.filter, worker.next) {
    request.effects = effects;
    request.trace_id = "0123456789abcdef0123456789abcdef";
  }
};

TEST(RetryFilter, ReturnsTheFirstAnswerThatIsGood) {
  RetryWorker worker;
  worker.next.Fail(kReset);
  worker.next.Respond({.status = 503});
  worker.next.Respond({.status = 200, .body = {{"hello"}}});
  RetryRun run(worker);
  run.Start();
  worker.loop.Advance(Seconds(3));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 200);
  EXPECT_EQ(worker.next.calls(), 3);
  EXPECT_EQ(run.request.attempt, 3);
  EXPECT_EQ(run.request.executed, Executed::kYes);
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-attempts"), "3");
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-retries-exhausted"), "");
  EXPECT_FALSE(run.request.record.retries_exhausted);
  EXPECT_EQ(worker.Retries("reset", "retried"), 1);
  EXPECT_EQ(worker.Retries("503", "retried"), 1);
  run.StartReading();
  EXPECT_EQ(run.body(), "hello");
}

TEST(RetryFilter, AddsNothingToAnAnswerAtTheFirstAttempt) {
  RetryWorker worker;
  worker.next.Respond({.status = 404});
  RetryRun run(worker);
  run.Start();
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 404);
  EXPECT_TRUE(run.request.response_headers.empty());
  EXPECT_EQ(worker.loop.armed_timers(), 0u);
}

TEST(RetryFilter, WaitsAsTheBackoffSaysAndRecordsIt) {
  RetryWorker worker(
      {.policy = {.backoff = {BackoffKind::kExponential, Milliseconds(100), Seconds(1)}}});
  worker.next.RespondAlways({.status = 500});
  RetryRun run(worker);
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  const auto& times = worker.next.call_times();
  ASSERT_EQ(times.size(), 3u);
  EXPECT_EQ(times[1] - times[0], Milliseconds(100));
  EXPECT_EQ(times[2] - times[1], Milliseconds(200));
  EXPECT_EQ(run.request.record.backoff, Milliseconds(300));
  const auto histogram =
      metrics::FindSeries(worker.registry.Collect(), "outrigger_retry_backoff_seconds");
  ASSERT_TRUE(histogram.has_value());
  EXPECT_EQ(histogram->histogram.sample_count, 2u);
}

TEST(RetryFilter, SaysWhenItsRetriesAreUsedUp) {
  for (const Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    RetryWorker worker;
    worker.next.RespondAlways(
        {.status = 429, .headers = {{"Retry-After", "0"}, {"x-should-retry", "true"}}});
    RetryRun run(worker, effects);
    run.Start();
    worker.loop.Advance(Seconds(60));
    ASSERT_TRUE(run.is_done());
    EXPECT_EQ(run.result()->status, 429);
    EXPECT_EQ(worker.next.calls(), 3);
    EXPECT_EQ(AnswerHeader(run, "x-outrigger-retries-exhausted"), "1");
    EXPECT_TRUE(run.request.record.retries_exhausted);
    EXPECT_EQ(worker.Retries("429", "attempts_used"), 1);
    const bool is_unsafe = effects == Effects::kUnsafe;
    EXPECT_EQ(AnswerHeader(run, "x-should-retry"), is_unsafe ? "false" : "");
    EXPECT_EQ(run.result()->headers.Has(http::HeaderId::kXShouldRetry), !is_unsafe);
  }
}

TEST(RetryFilter, LeavesItToTheDriverToSayThatOfAFailure) {
  RetryWorker worker;
  for (int i = 0; i < 3; ++i) worker.next.Fail(kConnectFailed);
  RetryRun run(worker, Effects::kUnsafe);
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result().error().reason, Reason::kConnectFail);
  EXPECT_EQ(run.request.executed, Executed::kNo);
  EXPECT_TRUE(run.request.record.retries_exhausted);
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-retries-exhausted"), "");
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-attempts"), "3");
}

TEST(RetryFilter, IsNotExhaustedWhereNoRetryIsConfigured) {
  RetryWorker worker({.policy = {.attempts = 1}});
  worker.next.Respond({.status = 503});
  RetryRun run(worker);
  run.Start();
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 503);
  EXPECT_FALSE(run.request.record.retries_exhausted);
  EXPECT_TRUE(run.request.response_headers.empty());
}

TEST(RetryFilter, StopsWhenTheBudgetIsEmpty) {
  RetryWorker worker({.budget = {.ratio = 0, .floor = 1, .window = Seconds(10)}});
  worker.next.RespondAlways({.status = 500});
  RetryRun run(worker);
  run.Start();
  worker.loop.Advance(Seconds(5));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(worker.next.calls(), 2);
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-retries-exhausted"), "1");
  EXPECT_EQ(worker.Retries("500", "budget_empty"), 1);
}

TEST(RetryFilter, NeverRepeatsUnsafeWorkThatMayHaveRun) {
  const std::vector<Failure> failures = {
      kReset,
      {.reason = Reason::kUpstreamReset,
       .phase = Phase::kAwaitingHead,
       .executed = Executed::kMaybe,
       .on_reused_connection = true},
      {.reason = Reason::kPerTryTimeout,
       .phase = Phase::kAwaitingHead,
       .executed = Executed::kMaybe},
      {.reason = Reason::kTtftTimeout, .phase = Phase::kAwaitingHead, .executed = Executed::kMaybe},
      {.reason = Reason::kUpstreamProtocol, .phase = Phase::kSending, .executed = Executed::kMaybe},
  };
  // `keyed` without a key is as harmful.
  for (const Effects effects : {Effects::kUnsafe, Effects::kKeyed}) {
    for (const Failure& failure : failures) {
      RetryWorker worker;
      worker.next.Fail(failure);
      RetryRun run(worker, effects);
      run.Start();
      worker.loop.Advance(Seconds(10));
      ASSERT_TRUE(run.is_done());
      EXPECT_EQ(worker.next.calls(), 1) << http::ReasonName(failure.reason);
      EXPECT_EQ(run.request.executed, Executed::kMaybe);
    }
    for (const int status : {500, 502, 503, 504}) {
      RetryWorker worker;
      worker.next.Respond({.status = status});
      RetryRun run(worker, effects);
      run.Start();
      worker.loop.Advance(Seconds(10));
      ASSERT_TRUE(run.is_done());
      EXPECT_EQ(worker.next.calls(), 1) << status;
      EXPECT_EQ(worker.Retries(std::to_string(status), "forbidden"), 1);
    }
  }
}

TEST(RetryFilter, RepeatsKeyedWorkThatCarriesItsKey) {
  RetryWorker worker;
  worker.next.Fail(kReset);
  RetryRun run(worker, Effects::kKeyed);
  run.request.headers.Add("Idempotency-Key", "one");
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(worker.next.calls(), 2);
}

TEST(RetryFilter, RepeatsUnsafeWorkThatDidNotRun) {
  RetryWorker worker({.decide = {common::UnavailableMeans::kNotExecuted}});
  worker.next.Fail(kConnectFailed);
  worker.next.Respond({.status = 503});
  RetryRun run(worker, Effects::kUnsafe);
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 200);
  EXPECT_EQ(worker.next.calls(), 3);
}

TEST(RetryFilter, HonoursRetryAfterWithAtMostATenthMore) {
  RetryWorker worker;
  worker.next.Respond({.status = 429, .headers = {{"Retry-After", "7"}}});
  RetryRun run(worker);
  run.Start();
  worker.loop.Advance(Seconds(7) - Milliseconds(1));
  EXPECT_FALSE(run.is_done());
  worker.loop.Advance(Milliseconds(701));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 200);
}

TEST(RetryFilter, PassesAWaitOnThatIsTooLong) {
  RetryWorker worker;
  worker.next.Respond({.status = 429, .headers = {{"Retry-After", "31"}}, .body = {{"later"}}});
  RetryRun run(worker);
  run.Start();
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 429);
  EXPECT_EQ(run.result()->headers.Get("retry-after"), "31");
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-retries-exhausted"), "");
  EXPECT_EQ(worker.Retries("429", "wait_too_long"), 1);
  run.StartReading();
  EXPECT_EQ(run.body(), "later");
}

TEST(RetryFilter, ObeysTheServiceAndTheProxyBehind) {
  const std::pair<const char*, const char*> rows[] = {{"x-should-retry", "false"},
                                                      {"x-outrigger-retries-exhausted", "1"},
                                                      {"grpc-retry-pushback-ms", "-1"}};
  for (const auto& [name, value] : rows) {
    RetryWorker worker;
    worker.next.Respond({.status = 500, .headers = {{name, value}}});
    RetryRun run(worker);
    run.Start();
    worker.loop.Advance(Seconds(10));
    ASSERT_TRUE(run.is_done());
    EXPECT_EQ(worker.next.calls(), 1) << name;
    EXPECT_EQ(run.result()->headers.Get(name), value);
    EXPECT_EQ(worker.Retries("500", "forbidden"), 1);
  }
}

TEST(RetryFilter, RetriesOnceForACallerThatRetriesItself) {
  RetryWorker worker;
  worker.next.RespondAlways({.status = 500});
  RetryRun run(worker);
  run.request.headers.Add("x-stainless-retry-count", "1");
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(worker.next.calls(), 2);
  EXPECT_EQ(AnswerHeader(run, "x-outrigger-retries-exhausted"), "1");
}

TEST(RetryFilter, DoesNotStartWhatTheDeadlineForbids) {
  RetryWorker worker;
  worker.next.RespondAlways({.status = 500});
  RetryRun run(worker);
  run.request.deadline = worker.loop.Now();
  run.Start();
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(worker.next.calls(), 1);
  EXPECT_EQ(worker.Retries("500", "deadline"), 1);
}

TEST(RetryFilter, LearnsHowLongTheFirstTokenTakes) {
  RetryWorker worker;
  for (int i = 0; i < 10; ++i) {
    worker.next.Respond({.delay = Seconds(4)});
    RetryRun run(worker);
    run.Start();
    worker.loop.Advance(Seconds(4));
    ASSERT_TRUE(run.is_done());
  }
  const auto attempts_with = [&worker](absl::Duration remaining) {
    const int before = worker.next.calls();
    worker.next.Respond({.status = 500});
    RetryRun run(worker);
    run.request.deadline = worker.loop.Now() + remaining;
    run.Start();
    worker.loop.Advance(Seconds(10));
    return worker.next.calls() - before;
  };
  EXPECT_EQ(attempts_with(Seconds(3)), 1);
  EXPECT_EQ(attempts_with(Seconds(6)), 2);
}

TEST(RetryFilter, FollowsTheOverridesOfACause) {
  RetryWorker worker({.policy = {.backoff = {BackoffKind::kExponential},
                                 .causes = {{"503", 1, Seconds(2)}, {"timeout", 0, Seconds(1)}}}});
  worker.next.RespondAlways({.status = 503});
  RetryRun run(worker);
  run.Start();
  worker.loop.Advance(Seconds(30));
  ASSERT_TRUE(run.is_done());
  ASSERT_EQ(worker.next.calls(), 2);
  EXPECT_EQ(worker.next.call_times()[1] - worker.next.call_times()[0], Seconds(2));

  RetryWorker other({.policy = {.causes = {{"timeout", 0, Seconds(1)}}}});
  other.next.Fail({.reason = Reason::kPerTryTimeout, .phase = Phase::kAwaitingHead});
  RetryRun never(other);
  never.Start();
  other.loop.Advance(Seconds(30));
  ASSERT_TRUE(never.is_done());
  EXPECT_EQ(other.next.calls(), 1);
  EXPECT_FALSE(never.request.record.retries_exhausted);
}

TEST(RetryFilter, TakesAnErrorBeforeContentAsTheStatusItStandsFor) {
  RetryWorker worker;
  DeadlineQueue hold(worker.loop, Seconds(15));
  common::CommitGate gate(worker.loop, common::StreamGrammar::kAnthropic, &hold);
  ChainOf chain({&worker.filter, &gate, &worker.next});
  const std::string error =
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
  const std::string good =
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n";
  const std::string start = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
  const std::vector<std::pair<std::string, std::string>> sse = {
      {"Content-Type", "text/event-stream"}};
  worker.next.Respond({.headers = sse, .body = {{start}, {error}}});
  worker.next.Respond({.headers = sse, .body = {{start}, {good}}});
  FilterRun run(worker.loop, chain, worker.next);
  run.request.effects = Effects::kNone;
  run.Start();
  worker.loop.Advance(Seconds(30));
  ASSERT_TRUE(run.is_done());
  ASSERT_TRUE(run.result().ok());
  EXPECT_EQ(run.result()->status, 200);
  EXPECT_EQ(worker.next.calls(), 2);
  EXPECT_EQ(worker.Retries("error_event", "retried"), 1);
  run.StartReading();
  worker.loop.Advance(Seconds(1));
  // One message_start, of the second attempt.
  EXPECT_EQ(run.body(), start + good);
}

TEST(RetryFilter, NeverRetriesAfterTheCommit) {
  RetryWorker worker;
  worker.next.Respond({.body = {{"half"}, {.failure = kReset}}});
  RetryRun run(worker);
  run.Start();
  ASSERT_TRUE(run.is_done());
  run.StartReading();
  worker.loop.Advance(Seconds(60));
  ASSERT_TRUE(run.is_read());
  EXPECT_EQ(run.body(), "half");
  EXPECT_EQ(run.body_failure()->reason, Reason::kUpstreamReset);
  EXPECT_EQ(worker.next.calls(), 1);
}

TEST(RetryFilter, GivesTheAttemptBackBeforeTheWait) {
  RetryWorker worker;
  worker.next.Respond(
      {.status = 503, .headers = {{"Retry-After", "5"}}, .body = {{"busy"}}, .ends = false});
  RetryRun run(worker);
  run.Start();
  EXPECT_FALSE(run.is_done());
  EXPECT_EQ(worker.next.live_calls(), 0);
  EXPECT_EQ(worker.next.live_bodies(), 0);
  EXPECT_EQ(worker.loop.armed_timers(), 1u);
}

TEST(RetryFilter, LogsEachRetry) {
  RetryWorker worker;
  worker.next.Fail(kConnectFailed);
  worker.next.Respond({.status = 500});
  RetryRun run(worker);
  run.Start();
  worker.loop.Advance(Seconds(10));
  const std::string log = worker.Logged();
  EXPECT_THAT(log, HasSubstr("\"event\":\"retry_scheduled\",\"attempt\":2,\"backoff_ms\":"));
  EXPECT_THAT(log,
              HasSubstr("\"reason\":\"connect_fail\",\"trace_id\":"
                        "\"0123456789abcdef0123456789abcdef\",\"request_id\":\"test-request\""));
  EXPECT_THAT(log, HasSubstr("\"attempt\":3"));
  EXPECT_THAT(log, HasSubstr("\"reason\":\"server_error\",\"status\":500"));
  EXPECT_THAT(log, Not(HasSubstr("\"attempt\":4")));
}

TEST(RetryFilter, LeavesNothingWhenTheClientGoesAtAnyWait) {
  struct Row {
    const char* where;
    absl::Duration when;
  };
  // The first attempt takes 1 s, its wait 5 to 5.5 s, the second attempt 10 s.
  const Row rows[] = {{"first attempt", Milliseconds(500)},
                      {"backoff", Seconds(3)},
                      {"second attempt", Seconds(8)},
                      {"body", Seconds(18)}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.where);
    RetryWorker worker;
    const long blocks = LivePooledBlocks();
    {
      worker.next.Respond(
          {.status = 503, .headers = {{"Retry-After", "5"}}, .body = {{"x"}}, .delay = Seconds(1)});
      worker.next.Respond({.body = {{"x", Seconds(10)}}, .delay = Seconds(10)});
      RetryRun run(worker);
      run.Start();
      worker.loop.Advance(row.when);
      if (run.is_done()) run.StartReading();
      EXPECT_EQ(worker.loop.armed_timers(), 1u);
      run.Drop();
      EXPECT_EQ(worker.loop.armed_timers(), 0u);
      EXPECT_EQ(worker.next.live_calls(), 0);
      EXPECT_EQ(worker.next.live_bodies(), 0);
    }
    EXPECT_EQ(LivePooledBlocks(), blocks);
  }
}

// Goal 1 of B4: a service that only fails gets at most 1.2 times the requests, and 3 per window.
TEST(RetryFilter, HardlyAddsToTheLoadOfAServiceThatOnlyFails) {
  RetryWorker worker({.budget = BudgetPolicy()});
  worker.next.RespondAlways({.status = 500});
  std::deque<RetryRun> runs;
  constexpr int kSeconds = 60;
  constexpr int kPerSecond = 5;
  for (int i = 0; i < kSeconds * kPerSecond; ++i) {
    runs.emplace_back(worker);
    runs.back().Start();
    worker.loop.Advance(Seconds(1) / kPerSecond);
  }
  worker.loop.Advance(Seconds(10));
  const int first = kSeconds * kPerSecond;
  const int windows = kSeconds / 10;
  EXPECT_LE(worker.next.calls(), first * 12 / 10 + 3 * windows);
  // And it does use what it may.
  EXPECT_GE(worker.next.calls(), first * 11 / 10);
  for (RetryRun& run : runs) EXPECT_TRUE(run.is_done());
}

}  // namespace
}  // namespace outrigger::retry
