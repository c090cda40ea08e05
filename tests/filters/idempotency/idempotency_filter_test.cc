#include "filters/idempotency/idempotency_filter.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/filters/idempotency/filter_support.h"
#include "tests/proxy/metrics/scrape.h"

namespace outrigger::idempotency {
namespace {

using http::Effects;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

ScriptedResponse Answer(int status, std::string body = "answer") {
  return {.status = status, .body = {{std::move(body)}}};
}

TEST(IdempotencyFilter, LetsRequestsWithoutAKeyPassUntouched) {
  FilterBench bench;
  bench.next.RespondAlways(Answer(200));
  Caller first(bench, {.key = ""});
  Caller second(bench, {.key = ""});
  bench.loop.RunPending();
  EXPECT_EQ(first.body(), "answer");
  EXPECT_EQ(second.body(), "answer");
  EXPECT_EQ(first.Outcome(), "");
  EXPECT_EQ(bench.next.calls(), 2);
  EXPECT_EQ(bench.keys.Stats().begun, 0u);
}

TEST(IdempotencyFilter, IgnoresKeysOfMethodsThatNeedNone) {
  FilterBench bench;
  bench.next.RespondAlways(Answer(200));
  for (http::Method method : {http::Method::kGet, http::Method::kHead, http::Method::kOptions,
                              http::Method::kPut, http::Method::kDelete}) {
    Caller caller(bench, {.method = method});
    bench.loop.RunPending();
    EXPECT_EQ(caller.status(), 200);
  }
  EXPECT_EQ(bench.keys.Stats().begun, 0u);
  Caller patch(bench, {.method = http::Method::kPatch});
  bench.loop.RunPending();
  EXPECT_EQ(bench.keys.Stats().begun, 1u);
}

TEST(IdempotencyFilter, TreatsKeyedRoutesWithoutAKeyAsUnsafe) {
  FilterBench bench({.effects = Effects::kKeyed});
  Caller without(bench, {.key = ""});
  EXPECT_EQ(without.request.effects, Effects::kUnsafe);
  Caller with(bench, {});
  EXPECT_EQ(with.request.effects, Effects::kKeyed);
}

TEST(IdempotencyFilter, RefusesMissingAndMalformedKeys) {
  FilterBench bench({.policy = {.max_key_bytes = 5, .required = true}});
  Caller missing(bench, {.key = ""});
  Caller spaced(bench, {.key = "a b"});
  Caller too_long(bench, {.key = "123456"});
  Caller fits(bench, {.key = "12345"});
  bench.loop.RunPending();
  EXPECT_EQ(missing.reason(), Reason::kIdemKeyMissing);
  EXPECT_EQ(spaced.reason(), Reason::kIdemKeyInvalid);
  EXPECT_EQ(too_long.reason(), Reason::kIdemKeyInvalid);
  EXPECT_EQ(fits.reason(), Reason::kNone);
  EXPECT_EQ(bench.next.calls(), 1);
}

TEST(IdempotencyFilter, AnswersARepetitionFromTheRecording) {
  FilterBench bench;
  bench.next.Respond({.status = 201,
                      .headers = {{"Location", "/v1/jobs/7"},
                                  {"ETag", "\"x\""},
                                  {"Set-Cookie", "session=1"},
                                  {"RateLimit", "r=1"}},
                      .body = {{"hel"}, {"lo", absl::Milliseconds(5)}}});
  Caller first(bench, {});
  bench.loop.Advance(absl::Milliseconds(5));
  EXPECT_EQ(first.status(), 201);
  EXPECT_EQ(first.body(), "hello");
  EXPECT_EQ(first.Outcome(), "stored");
  EXPECT_EQ(first.Field("x-outrigger-idempotency-expires"), "3600");
  EXPECT_EQ(first.Field("Set-Cookie"), "session=1");
  EXPECT_EQ(first.Field("Idempotent-Replayed"), "");
  EXPECT_EQ(first.request.record.idempotency, "stored");

  bench.loop.Advance(absl::Seconds(60));
  Caller second(bench, {.key = "\"k\""});  // the quoted form of the same key
  bench.loop.RunPending();
  EXPECT_EQ(second.status(), 201);
  EXPECT_EQ(second.body(), "hello");
  EXPECT_EQ(second.response().body_length, 5u);
  EXPECT_EQ(second.Outcome(), "replayed");
  EXPECT_EQ(second.Field("x-outrigger-idempotency-expires"), "3540");
  EXPECT_EQ(second.Field("Idempotent-Replayed"), "true");
  EXPECT_EQ(second.Field("Location"), "/v1/jobs/7");
  EXPECT_EQ(second.Field("ETag"), "\"x\"");
  EXPECT_EQ(second.Field("Set-Cookie"), "");
  EXPECT_EQ(second.Field("RateLimit"), "");
  EXPECT_EQ(second.request.record.idempotency, "replayed");
  EXPECT_EQ(bench.next.calls(), 1);
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(IdempotencyFilter, LimitsReplaysAndNothingElse) {
  absl::Duration wait = absl::Seconds(7);
  std::vector<std::string> asked;
  FilterBench bench({.replay_wait = [&](const http::Request& request) {
    asked.emplace_back(request.tenant);
    return wait;
  }});
  bench.next.RespondAlways({.status = 200, .body = {{"hel"}, {"lo", absl::Milliseconds(5)}}});
  Caller first(bench, {.tenant = "one"});
  Caller joiner(bench, {.tenant = "one"});
  bench.loop.Advance(absl::Milliseconds(5));
  EXPECT_EQ(joiner.body(), "hello");
  EXPECT_TRUE(asked.empty());

  Caller refused(bench, {.tenant = "one"});
  bench.loop.RunPending();
  ASSERT_TRUE(refused.failure().has_value());
  EXPECT_EQ(refused.failure()->reason, http::Reason::kRateReplays);
  EXPECT_EQ(refused.failure()->retry_after, absl::Seconds(7));
  EXPECT_EQ(asked, std::vector<std::string>{"one"});
  // Another request with the key is told so first, and it costs no replay.
  Caller other(bench, {.body = "[]", .tenant = "one"});
  bench.loop.RunPending();
  ASSERT_TRUE(other.failure().has_value());
  EXPECT_EQ(other.failure()->reason, http::Reason::kIdemMismatch);
  EXPECT_EQ(asked.size(), 1u);

  wait = absl::ZeroDuration();
  Caller second(bench, {.tenant = "one"});
  bench.loop.RunPending();
  EXPECT_EQ(second.body(), "hello");
  EXPECT_EQ(bench.next.calls(), 1);
  EXPECT_EQ(
      metrics::CounterValue(bench.registry, "outrigger_idempotency_total", {"replay_limited"}), 1);
  EXPECT_TRUE(bench.IsQuiet());
}

// Fills the memory budget with answers of 64 KiB until keeping another would pass 80 % of it.
void FillBudget(FilterBench& bench, int answers) {
  bench.next.RespondAlways(Answer(200, std::string(64 << 10, 'x')));
  for (int i = 0; i < answers; ++i) {
    Caller caller(bench, {.key = "old-" + std::to_string(i)});
    bench.loop.Advance(absl::Milliseconds(10));
    ASSERT_EQ(caller.Outcome(), "stored");
  }
}

TEST(IdempotencyFilter, KeptAnswersThatMayRunAgainGiveWayWhenMemoryIsShort) {
  FilterBench bench({.effects = Effects::kNone, .memory_bytes = size_t{1} << 20});
  FillBudget(bench, 12);
  const uint64_t evicted_before = bench.keys.Stats().evicted;
  for (const char* key : {"new", "new"}) {
    Caller caller(bench, {.key = key});
    bench.loop.Advance(absl::Milliseconds(10));
    EXPECT_EQ(caller.body().size(), size_t{64} << 10);
  }
  EXPECT_EQ(bench.next.calls(), 13);  // the second time from what was kept
  EXPECT_GT(bench.keys.Stats().evicted, evicted_before);
  Caller oldest(bench, {.key = "old-0"});
  bench.loop.Advance(absl::Milliseconds(10));
  EXPECT_EQ(bench.next.calls(), 14);
}

TEST(IdempotencyFilter, KeptAnswersOfUnsafeRequestsDoNotGiveWayToNewOnes) {
  FilterBench bench({.effects = Effects::kUnsafe, .memory_bytes = size_t{1} << 20});
  FillBudget(bench, 12);
  {
    Caller caller(bench, {.key = "new"});
    bench.loop.Advance(absl::Milliseconds(10));
    EXPECT_EQ(caller.body().size(), size_t{64} << 10);
  }
  EXPECT_EQ(bench.keys.Stats().evicted, 0u);
  EXPECT_EQ(bench.Keys(State::kTombstone), 1u);
  bench.keys.Sweep(bench.loop.Now(), 100);
  EXPECT_EQ(bench.Keys(State::kDone), 12u);
  // Before requests are refused they do.
  bench.budget.Charge(200 << 10);
  ASSERT_TRUE(bench.budget.refuses_requests());
  bench.keys.Sweep(bench.loop.Now(), 100);
  EXPECT_FALSE(bench.budget.refuses_requests());
  EXPECT_GT(bench.Keys(State::kDone), 5u);
  bench.budget.Release(200 << 10);
}

TEST(IdempotencyFilter, SweepGivesUpKeptAnswersWhileMemoryIsShort) {
  FilterBench bench({.effects = Effects::kNone, .memory_bytes = size_t{1} << 20});
  FillBudget(bench, 12);
  bench.keys.Sweep(bench.loop.Now(), 100);
  EXPECT_EQ(bench.keys.Stats().evicted, 0u);
  bench.budget.Charge(300 << 10);
  ASSERT_TRUE(bench.budget.refuses_buffering());
  bench.keys.Sweep(bench.loop.Now(), 100);
  EXPECT_FALSE(bench.budget.refuses_buffering());
  EXPECT_GT(bench.Keys(State::kDone), 5u);
  bench.budget.Release(300 << 10);
}

TEST(IdempotencyFilter, ForgetsTheAnswerWhenItsTimeIsOver) {
  FilterBench bench({.policy = {.key_ttl = absl::Minutes(2), .response_ttl = absl::Minutes(1)}});
  bench.next.RespondAlways(Answer(200));
  Caller first(bench, {});
  bench.loop.Advance(absl::Seconds(61));
  Caller second(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(second.Outcome(), "stored");
  EXPECT_EQ(bench.next.calls(), 2);
}

TEST(IdempotencyFilter, KeepsTenantsApartUnlessToldOtherwise) {
  for (Scope scope : {Scope::kTenant, Scope::kAnonymous}) {
    FilterBench bench({.policy = {.scope = scope}});
    bench.next.RespondAlways(Answer(200));
    Caller one(bench, {.tenant = "one"});
    Caller two(bench, {.tenant = "two"});
    bench.loop.RunPending();
    EXPECT_EQ(bench.next.calls(), scope == Scope::kTenant ? 2 : 1);
  }
}

TEST(IdempotencyFilter, NamesThePartThatDiffers) {
  FilterBench bench;
  bench.next.RespondAlways(Answer(200));
  Caller first(bench, {});
  bench.loop.RunPending();
  const std::vector<std::pair<CallerOptions, std::string>> cases = {
      {{.method = http::Method::kPatch}, "method"},
      {{.target = "/v1/other"}, "path"},
      {{.target = "/v1/test?model=x"}, "path"},
      {{.content_type = "text/plain"}, "media type"},
      {{.body = "{} "}, "body"},
      {{.received = {{"{"}, {" }", absl::Milliseconds(1)}}}, "body"},
  };
  for (const auto& [options, part] : cases) {
    Caller other(bench, options);
    bench.loop.Advance(absl::Milliseconds(2));
    EXPECT_EQ(other.reason(), Reason::kIdemMismatch) << part;
    ASSERT_TRUE(other.failure().has_value());
    EXPECT_NE(other.failure()->detail.find(part), std::string_view::npos) << part;
  }
  EXPECT_EQ(bench.next.calls(), 1);
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(IdempotencyFilter, GivesNobodyAByteBeforeItsBodyIsKnownToBeTheSame) {
  FilterBench bench;
  // Answers at once, while the request is still being received.
  bench.next.Respond({.status = 200, .body = {{"secret"}}, .ends = false});
  Caller first(bench, {.received = {{"a"}, {"b", absl::Seconds(5)}}});
  Caller other(bench, {.body = "something else"});
  bench.loop.Advance(absl::Seconds(1));
  EXPECT_EQ(first.body(), "secret");
  EXPECT_FALSE(other.has_head());
  EXPECT_EQ(other.body(), "");
}

// --- The record column of B0.2, for answers. ---

enum class Kept { kDone, kFlagged, kReleased };

struct StatusRow {
  int status;
  std::vector<std::pair<std::string, std::string>> headers;
  Kept repeatable;
  Kept unsafe;
};

std::vector<StatusRow> StatusRows() {
  std::vector<StatusRow> rows;
  for (int status : {200, 201, 204, 299, 301, 304, 400, 404, 410, 415, 422, 499}) {
    rows.push_back({status, {}, Kept::kDone, Kept::kDone});
  }
  for (int status : {401, 403, 409, 408, 425, 429, 529}) {
    rows.push_back({status, {}, Kept::kReleased, Kept::kReleased});
  }
  rows.push_back({503, {{"Retry-After", "1"}}, Kept::kReleased, Kept::kReleased});
  rows.push_back({503, {{"x-should-retry", "true"}}, Kept::kReleased, Kept::kReleased});
  for (int status : {500, 501, 502, 503, 504, 599}) {
    rows.push_back({status, {}, Kept::kReleased, Kept::kFlagged});
  }
  return rows;
}

TEST(IdempotencyFilter, KeepsExactlyTheAnswersThatTheTableSays) {
  for (const StatusRow& row : StatusRows()) {
    for (Effects effects : {Effects::kNone, Effects::kKeyed, Effects::kUnsafe}) {
      SCOPED_TRACE(testing::Message() << row.status << " effects " << static_cast<int>(effects));
      const Kept kept = effects == Effects::kUnsafe ? row.unsafe : row.repeatable;
      FilterBench bench({.effects = effects});
      const bool has_body = row.status != 204 && row.status != 304;
      ScriptedResponse answer{.status = row.status, .headers = row.headers};
      if (has_body) answer.body = {{"answer"}};
      bench.next.RespondAlways(answer);
      Caller first(bench, {});
      bench.loop.RunPending();
      ASSERT_EQ(first.status(), row.status);
      EXPECT_EQ(first.body(), has_body ? "answer" : "");
      EXPECT_EQ(first.Outcome(), kept == Kept::kReleased ? "released" : "stored");
      EXPECT_EQ(first.Field("x-outrigger-outcome"), kept == Kept::kFlagged ? "unknown" : "");
      EXPECT_EQ(bench.Keys(State::kDone), kept == Kept::kReleased ? 0u : 1u);

      Caller second(bench, {});
      bench.loop.RunPending();
      EXPECT_EQ(second.status(), row.status);
      EXPECT_EQ(second.body(), first.body());
      EXPECT_EQ(second.Outcome(), kept == Kept::kReleased ? "released" : "replayed");
      EXPECT_EQ(second.Field("x-outrigger-outcome"), kept == Kept::kFlagged ? "unknown" : "");
      EXPECT_EQ(bench.next.calls(), kept == Kept::kReleased ? 2 : 1);
      EXPECT_TRUE(bench.IsQuiet());
    }
  }
}

TEST(IdempotencyFilter, ReleasesAnUnsafe503WhenTheRouteSaysThatItMeansNotExecuted) {
  FilterBench bench({.decide = {.unavailable_means = common::UnavailableMeans::kNotExecuted},
                     .effects = Effects::kUnsafe});
  bench.next.RespondAlways(Answer(503));
  Caller first(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(first.Outcome(), "released");
  EXPECT_EQ(bench.keys.Stats().released, 1u);
}

// --- The record column of B0.2, for failures. ---

struct FailureRow {
  Failure failure;
  // Of unsafe requests; 0: released, else what the same key is told later.
  int unknown_status;
};

std::vector<FailureRow> FailureRows() {
  const auto failure = [](Reason reason, Phase phase, Executed executed) {
    return Failure{.reason = reason, .phase = phase, .executed = executed};
  };
  Failure stale = failure(Reason::kUpstreamReset, Phase::kSending, Executed::kMaybe);
  stale.on_reused_connection = true;
  return {
      {failure(Reason::kRateRequests, Phase::kLocal, Executed::kNo), 0},
      {failure(Reason::kBreakerOpen, Phase::kLocal, Executed::kNo), 0},
      {failure(Reason::kConcurrency, Phase::kLocal, Executed::kNo), 0},
      {failure(Reason::kConnectFail, Phase::kConnect, Executed::kNo), 0},
      {failure(Reason::kNoHealthyUpstream, Phase::kConnect, Executed::kNo), 0},
      {failure(Reason::kPerTryTimeout, Phase::kConnect, Executed::kNo), 0},
      {stale, 502},
      {failure(Reason::kUpstreamReset, Phase::kSending, Executed::kMaybe), 502},
      {failure(Reason::kUpstreamReset, Phase::kAwaitingHead, Executed::kMaybe), 502},
      {failure(Reason::kUpstreamProtocol, Phase::kAwaitingHead, Executed::kMaybe), 502},
      {failure(Reason::kPerTryTimeout, Phase::kAwaitingHead, Executed::kMaybe), 504},
      {failure(Reason::kTtftTimeout, Phase::kAwaitingHead, Executed::kMaybe), 504},
      // The client's body ended early after bytes had gone upstream.
      {failure(Reason::kRequestTimeout, Phase::kLocal, Executed::kMaybe), 502},
      {failure(Reason::kBodyTooLarge, Phase::kSending, Executed::kMaybe), 502},
  };
}

TEST(IdempotencyFilter, SettlesFailuresAsTheTableSays) {
  for (const FailureRow& row : FailureRows()) {
    for (Effects effects : {Effects::kNone, Effects::kKeyed, Effects::kUnsafe}) {
      SCOPED_TRACE(testing::Message() << ReasonName(row.failure.reason) << " phase "
                                      << static_cast<int>(row.failure.phase) << " effects "
                                      << static_cast<int>(effects));
      FilterBench bench({.effects = effects});
      bench.next.Fail(row.failure, absl::Milliseconds(1));
      bench.next.RespondAlways(Answer(200));
      Caller first(bench, {});
      Caller joiner(bench, {});
      bench.loop.Advance(absl::Milliseconds(2));
      const bool stays_unknown = effects == Effects::kUnsafe && row.unknown_status != 0;
      for (const Caller* caller : {&first, &joiner}) {
        EXPECT_EQ(caller->reason(), row.failure.reason);
        ASSERT_TRUE(caller->failure().has_value());
        EXPECT_EQ(caller->failure()->is_outcome_unknown, stays_unknown);
      }
      EXPECT_EQ(first.Outcome(), stays_unknown ? "" : "released");
      EXPECT_EQ(first.request.record.idempotency, stays_unknown ? "unknown" : "released");
      EXPECT_EQ(bench.Keys(State::kUnknown), stays_unknown ? 1u : 0u);

      Caller later(bench, {});
      bench.loop.RunPending();
      if (stays_unknown) {
        EXPECT_EQ(later.reason(), Reason::kIdemUnknown);
        ASSERT_TRUE(later.failure().has_value());
        EXPECT_EQ(later.failure()->status, row.unknown_status);
        EXPECT_EQ(bench.next.calls(), 1);
        Caller other(bench, {.body = "other"});
        bench.loop.RunPending();
        EXPECT_EQ(other.reason(), Reason::kIdemMismatch);
      } else {
        EXPECT_EQ(later.status(), 200);
        EXPECT_EQ(bench.next.calls(), 2);
      }
      EXPECT_TRUE(bench.IsQuiet());
    }
  }
}

TEST(IdempotencyFilter, ReleasesWhatWasNeverDispatched) {
  // A filter in between refuses before the router runs its hooks.
  class Refuses final : public chain::Filter {
   public:
    Task<http::Result> Call(http::Request&, chain::Next) override {
      co_return Failure{.reason = Reason::kUpstreamReset, .executed = Executed::kMaybe};
    }
  };
  FilterBench bench({.effects = Effects::kUnsafe});
  bench.chain[1] = std::make_unique<Refuses>();
  Caller first(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(bench.keys.Stats().released, 1u);
  EXPECT_EQ(bench.keys.Stats().illegal, 0u);
  EXPECT_EQ(bench.Keys(State::kUnknown), 0u);
}

TEST(IdempotencyFilter, KeepsNoAnswerThatHidesAnExecution) {
  // Two attempts of an unsafe request: the last one was refused, an earlier one may have run.
  class Folds final : public chain::Filter {
   public:
    Task<http::Result> Call(http::Request& request, chain::Next next) override {
      http::Result result = co_await next(request);
      request.executed = Executed::kMaybe;
      co_return result;
    }
  };
  FilterBench bench({.effects = Effects::kUnsafe});
  bench.chain[1] = std::make_unique<Folds>();
  bench.next.RespondAlways(Answer(429));
  Caller first(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(first.status(), 429);
  EXPECT_EQ(first.Field("x-outrigger-outcome"), "unknown");
  Caller second(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(second.reason(), Reason::kIdemResponseNotKept);
  EXPECT_EQ(bench.next.calls(), 1);
}

TEST(IdempotencyFilter, ReplaysNoAnswerThatWasCut) {
  for (Effects effects : {Effects::kNone, Effects::kKeyed, Effects::kUnsafe}) {
    FilterBench bench({.effects = effects});
    bench.next.Respond({.status = 200,
                        .body = {{"half"},
                                 {"", absl::Milliseconds(1),
                                  Failure{.reason = Reason::kUpstreamReset,
                                          .phase = Phase::kBody,
                                          .executed = Executed::kMaybe}}}});
    bench.next.RespondAlways(Answer(200));
    Caller first(bench, {});
    bench.loop.Advance(absl::Milliseconds(2));
    EXPECT_EQ(first.body(), "half");
    ASSERT_TRUE(first.body_failure().has_value());
    EXPECT_EQ(first.body_failure()->reason, Reason::kUpstreamReset);
    Caller second(bench, {});
    bench.loop.RunPending();
    if (effects == Effects::kUnsafe) {
      EXPECT_EQ(second.reason(), Reason::kIdemResponseNotKept);
      EXPECT_EQ(bench.Keys(State::kTombstone), 1u);
    } else {
      EXPECT_EQ(second.body(), "answer");
    }
    EXPECT_TRUE(bench.IsQuiet());
  }
}

TEST(IdempotencyFilter, ExecutesWithoutARecordWhenTheTableIsFull) {
  FilterBench bench({.limits = {.max_keys = 1}, .effects = Effects::kUnsafe});
  bench.next.Fail({.reason = Reason::kUpstreamReset,
                   .phase = Phase::kAwaitingHead,
                   .executed = Executed::kMaybe});
  bench.next.RespondAlways(Answer(200));
  Caller unknown(bench, {.key = "a"});
  bench.loop.RunPending();
  Caller refused(bench, {.key = "b"});
  bench.loop.RunPending();
  EXPECT_EQ(refused.reason(), Reason::kIdemStoreFull);
  EXPECT_EQ(bench.next.calls(), 1);

  FilterBench lenient({.policy = {.on_full = OnFull::kBypass},
                       .limits = {.max_keys = 0},
                       .effects = Effects::kUnsafe});
  lenient.next.RespondAlways(Answer(200));
  Caller bypassed(lenient, {});
  lenient.loop.RunPending();
  EXPECT_EQ(bypassed.body(), "answer");
  EXPECT_EQ(bypassed.Outcome(), "bypassed");
}

TEST(IdempotencyFilter, PassesOnWhatFiltersInsideLearn) {
  class Adds final : public chain::Filter {
   public:
    Task<http::Result> Call(http::Request& request, chain::Next next) override {
      request.response_headers.Add(request.arena->Copy("ratelimit"), request.arena->Copy("r=9"));
      request.record.attempts = 3;
      request.record.upstream_status = 200;
      http::Result result = co_await next(request);
      co_return result;
    }
  };
  FilterBench bench;
  bench.chain[1] = std::make_unique<Adds>();
  bench.next.RespondAlways(Answer(200));
  Caller first(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(first.Field("ratelimit"), "r=9");
  EXPECT_EQ(first.request.record.attempts, 3);
  EXPECT_EQ(first.request.record.upstream_status, 200);
  Caller second(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(second.Field("ratelimit"), "");
  EXPECT_EQ(second.request.record.attempts, 0);
}

TEST(IdempotencyFilter, MarksAsExecutingRightBeforeTheFirstByte) {
  FilterBench bench({.effects = Effects::kUnsafe});
  bench.next.RespondAlways(Answer(200));
  Caller first(bench, {});
  bench.loop.RunPending();
  const std::vector<AuditListener::Event> events = bench.audit.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].to, State::kReserved);
  EXPECT_EQ(events[1].to, State::kExecuting);
  EXPECT_EQ(events[1].cause, Cause::kDispatched);
  EXPECT_EQ(events[2].to, State::kDone);
  EXPECT_TRUE(first.request.was_dispatched);
  EXPECT_EQ(first.request.executed, Executed::kMaybe);
}

}  // namespace
}  // namespace outrigger::idempotency
