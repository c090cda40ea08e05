#include "filters/common/outcome.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace outrigger::common {
namespace {

using http::Effects;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

constexpr Effects kAllEffects[] = {Effects::kNone, Effects::kKeyed, Effects::kUnsafe};

// One row of B0.2 as the specification words it: "a | b" columns for repeatable and unsafe.
struct ExpectedRow {
  Event event;
  Executed executed;
  RecordAction record;
  RecordAction unsafe_record;
  RetryRule retry;
  RetryRule unsafe_retry;
  BreakerClass breaker;
  TokenAction tokens;
  bool is_slow = false;
};

constexpr ExpectedRow kExpected[] = {
    {Event::kOwnRejection, Executed::kNo, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kIgnore, TokenAction::kNoneCharged},
    {Event::kOwnIdempotencyRefusal, Executed::kNo, RecordAction::kUntouched,
     RecordAction::kUntouched, RetryRule::kNever, RetryRule::kNever, BreakerClass::kIgnore,
     TokenAction::kNoneCharged},
    {Event::kConnectFailed, Executed::kNo, RecordAction::kStayReserved, RecordAction::kStayReserved,
     RetryRule::kAllowed, RetryRule::kAllowed, BreakerClass::kFailure, TokenAction::kRefund},
    {Event::kStreamRefused, Executed::kNo, RecordAction::kStayReserved, RecordAction::kStayReserved,
     RetryRule::kFirstFree, RetryRule::kFirstFree, BreakerClass::kFailure, TokenAction::kRefund},
    {Event::kGoawayUnprocessed, Executed::kNo, RecordAction::kStayReserved,
     RecordAction::kStayReserved, RetryRule::kFirstFree, RetryRule::kFirstFree,
     BreakerClass::kIgnore, TokenAction::kRefund},
    {Event::kReusedConnectionClosed, Executed::kMaybe, RecordAction::kRelease,
     RecordAction::kUnknown, RetryRule::kOnceFreeOnNewConnection, RetryRule::kNever,
     BreakerClass::kIgnore, TokenAction::kKeep},
    {Event::kReset, Executed::kMaybe, RecordAction::kRelease, RecordAction::kUnknown,
     RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kKeep},
    {Event::kTimeout, Executed::kMaybe, RecordAction::kRelease, RecordAction::kUnknown,
     RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kKeepObserved,
     true},
    {Event::kNotProcessed, Executed::kNo, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kAllowed, RetryRule::kAllowed, BreakerClass::kIgnore, TokenAction::kRefund},
    {Event::kThrottled, Executed::kNo, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kIfAskedWaitFits, RetryRule::kIfAskedWaitFits, BreakerClass::kThrottled,
     TokenAction::kRefund},
    {Event::kServerError, Executed::kMaybe, RecordAction::kRelease, RecordAction::kDoneUnknown,
     RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kKeep},
    {Event::kSuccess, Executed::kYes, RecordAction::kDone, RecordAction::kDone, RetryRule::kNever,
     RetryRule::kNever, BreakerClass::kSuccess, TokenAction::kReconcile},
    {Event::kAnswered, Executed::kYes, RecordAction::kDone, RecordAction::kDone, RetryRule::kNever,
     RetryRule::kNever, BreakerClass::kSuccess, TokenAction::kReconcile},
    {Event::kUnauthorized, Executed::kYes, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kOnceWithOwnCredential, RetryRule::kOnceWithOwnCredential, BreakerClass::kSuccess,
     TokenAction::kReconcile},
    {Event::kRefusedByApp, Executed::kYes, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kSuccess, TokenAction::kReconcile},
    {Event::kStreamErrorThrottled, Executed::kNo, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kIfAskedWaitFits, RetryRule::kIfAskedWaitFits, BreakerClass::kThrottled,
     TokenAction::kRefund},
    {Event::kStreamErrorServer, Executed::kMaybe, RecordAction::kRelease,
     RecordAction::kDoneUnknown, RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure,
     TokenAction::kKeep},
    {Event::kStreamErrorInvalid, Executed::kMaybe, RecordAction::kDone, RecordAction::kDone,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kSuccess, TokenAction::kKeep},
    {Event::kStreamBroken, Executed::kYes, RecordAction::kRelease, RecordAction::kTombstone,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kChargeObserved},
    {Event::kGrpcUnavailableUnsent, Executed::kNo, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kAllowed, RetryRule::kAllowed, BreakerClass::kFailure, TokenAction::kRefund},
    {Event::kGrpcExhaustedUnsent, Executed::kNo, RecordAction::kRelease, RecordAction::kRelease,
     RetryRule::kIfAskedWaitFits, RetryRule::kIfAskedWaitFits, BreakerClass::kThrottled,
     TokenAction::kRefund},
    {Event::kGrpcUnavailable, Executed::kMaybe, RecordAction::kRelease, RecordAction::kDoneUnknown,
     RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kKeep},
    {Event::kGrpcExhausted, Executed::kMaybe, RecordAction::kRelease, RecordAction::kDoneUnknown,
     RetryRule::kIfAskedWaitFits, RetryRule::kNever, BreakerClass::kThrottled, TokenAction::kKeep},
    {Event::kGrpcTimeout, Executed::kMaybe, RecordAction::kRelease, RecordAction::kDoneUnknown,
     RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kKeepObserved,
     true},
    {Event::kGrpcServerError, Executed::kMaybe, RecordAction::kRelease, RecordAction::kDoneUnknown,
     RetryRule::kAllowed, RetryRule::kNever, BreakerClass::kFailure, TokenAction::kKeep},
    {Event::kRequestCutShort, Executed::kMaybe, RecordAction::kRelease, RecordAction::kUnknown,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kIgnore, TokenAction::kChargeObserved},
    {Event::kClientGone, Executed::kMaybe, RecordAction::kRunOn, RecordAction::kRunOn,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kIgnore, TokenAction::kChargeObserved},
    {Event::kClientGoneAfterSlowWait, Executed::kMaybe, RecordAction::kRunOn, RecordAction::kRunOn,
     RetryRule::kNever, RetryRule::kNever, BreakerClass::kIgnore, TokenAction::kChargeObserved,
     true},
};

class OutcomeTable : public testing::TestWithParam<ExpectedRow> {};

TEST_P(OutcomeTable, GivesTheVerdictOfItsRowForEveryEffects) {
  const ExpectedRow& row = GetParam();
  for (const Effects effects : kAllEffects) {
    const bool is_unsafe = effects == Effects::kUnsafe;
    const Verdict expected = {row.executed,
                              is_unsafe ? row.unsafe_record : row.record,
                              is_unsafe ? row.unsafe_retry : row.retry,
                              row.breaker,
                              row.tokens,
                              row.is_slow};
    EXPECT_EQ(Decide(row.event, effects), expected) << static_cast<int>(effects);
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, OutcomeTable, testing::ValuesIn(kExpected),
                         [](const auto& row) { return std::string(EventName(row.param.event)); });

TEST(Outcome, TheTableOfExpectationsNamesEveryEventOnce) {
  std::set<Event> events = {Event::kUnavailable};  // tested below: it alone depends on an option
  for (const ExpectedRow& row : kExpected) EXPECT_TRUE(events.insert(row.event).second);
  EXPECT_EQ(events.size(), static_cast<size_t>(Event::kCount));
}

TEST(Outcome, EveryEventHasItsOwnName) {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(Event::kCount); ++i) {
    const std::string_view name = EventName(static_cast<Event>(i));
    EXPECT_FALSE(name.empty());
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(Outcome, A503WithoutHintMeansWhatTheRouteSays) {
  const Verdict not_executed = {Executed::kNo, RecordAction::kRelease, RetryRule::kAllowed,
                                BreakerClass::kFailure, TokenAction::kRefund};
  const Verdict as_500 = Decide(Event::kServerError, Effects::kUnsafe);
  for (const auto means : {UnavailableMeans::kMaybe, UnavailableMeans::kNotExecuted}) {
    const DecideOptions options = {.unavailable_means = means};
    EXPECT_EQ(Decide(Event::kUnavailable, Effects::kNone, options), not_executed);
    EXPECT_EQ(Decide(Event::kUnavailable, Effects::kKeyed, options), not_executed);
  }
  EXPECT_EQ(Decide(Event::kUnavailable, Effects::kUnsafe), as_500);
  EXPECT_EQ(Decide(Event::kUnavailable, Effects::kUnsafe,
                   {.unavailable_means = UnavailableMeans::kNotExecuted}),
            not_executed);
}

// Trap 1 and promise 4 of the semantics, over the whole table.
TEST(Outcome, UnsafeWorkThatMayHaveRunIsNeverRepeatedAndNeverForgotten) {
  for (int i = 0; i < static_cast<int>(Event::kCount); ++i) {
    const auto event = static_cast<Event>(i);
    const Verdict verdict = Decide(event, Effects::kUnsafe);
    if (verdict.executed == Executed::kNo || event == Event::kUnauthorized) continue;
    EXPECT_EQ(verdict.retry, RetryRule::kNever) << EventName(event);
    if (event == Event::kRefusedByApp) continue;  // the service itself said that it did nothing
    EXPECT_NE(verdict.record, RecordAction::kRelease) << EventName(event);
    EXPECT_NE(verdict.record, RecordAction::kStayReserved) << EventName(event);
  }
}

TEST(Outcome, RepeatableWorkNeverLeavesATombstone) {
  for (int i = 0; i < static_cast<int>(Event::kCount); ++i) {
    for (const Effects effects : {Effects::kNone, Effects::kKeyed}) {
      const RecordAction record = Decide(static_cast<Event>(i), effects).record;
      EXPECT_NE(record, RecordAction::kTombstone) << i;
      EXPECT_NE(record, RecordAction::kUnknown) << i;
      EXPECT_NE(record, RecordAction::kDoneUnknown) << i;
    }
  }
}

TEST(Outcome, TokensAreRefundedOnlyWhenNothingWasExecuted) {
  for (int i = 0; i < static_cast<int>(Event::kCount); ++i) {
    for (const Effects effects : kAllEffects) {
      const Verdict verdict = Decide(static_cast<Event>(i), effects);
      if (verdict.tokens != TokenAction::kRefund) continue;
      EXPECT_EQ(verdict.executed, Executed::kNo) << i;
    }
  }
}

struct StatusCase {
  int status;
  std::string_view name;
  std::string_view value;
  Event event;
};

class ResponseStatus : public testing::TestWithParam<StatusCase> {};

TEST_P(ResponseStatus, IsClassified) {
  http::HeaderList headers;
  headers.Add("content-type", "application/json");
  if (!GetParam().name.empty()) headers.Add(GetParam().name, GetParam().value);
  EXPECT_EQ(ClassifyResponse(GetParam().status, headers), GetParam().event)
      << GetParam().status << ' ' << GetParam().name;
}

INSTANTIATE_TEST_SUITE_P(Table, ResponseStatus,
                         testing::ValuesIn(std::vector<StatusCase>{
                             {200, "", "", Event::kSuccess},
                             {204, "", "", Event::kSuccess},
                             {206, "", "", Event::kSuccess},
                             {200, "retry-after", "5", Event::kSuccess},
                             {301, "", "", Event::kAnswered},
                             {304, "", "", Event::kAnswered},
                             {400, "", "", Event::kAnswered},
                             {401, "", "", Event::kUnauthorized},
                             {403, "", "", Event::kRefusedByApp},
                             {404, "", "", Event::kAnswered},
                             {408, "", "", Event::kNotProcessed},
                             {409, "", "", Event::kRefusedByApp},
                             {422, "", "", Event::kAnswered},
                             {425, "", "", Event::kNotProcessed},
                             {429, "", "", Event::kThrottled},
                             {429, "Retry-After", "1", Event::kThrottled},
                             {500, "", "", Event::kServerError},
                             {500, "Retry-After", "1", Event::kServerError},
                             {501, "", "", Event::kServerError},
                             {502, "", "", Event::kServerError},
                             {503, "", "", Event::kUnavailable},
                             {503, "Retry-After", "1", Event::kThrottled},
                             {503, "retry-after-ms", "1", Event::kThrottled},
                             {503, "x-ms-retry-after-ms", "1", Event::kThrottled},
                             {503, "X-Should-Retry", "true", Event::kThrottled},
                             {503, "x-should-retry", " TRUE ", Event::kThrottled},
                             {503, "x-should-retry", "false", Event::kUnavailable},
                             {503, "x-should-retry", "truely", Event::kUnavailable},
                             {504, "", "", Event::kServerError},
                             {529, "", "", Event::kThrottled},
                             {599, "", "", Event::kServerError},
                             {999, "", "", Event::kServerError},
                         }));

struct FailureCase {
  Failure failure;
  Event event;
};

Failure Make(Reason reason, Phase phase, Executed executed = Executed::kMaybe,
             bool on_reused_connection = false) {
  return {reason, phase, executed, absl::ZeroDuration(), on_reused_connection};
}

TEST(Outcome, FailuresAreClassifiedByReasonAndPhase) {
  const FailureCase cases[] = {
      {Make(Reason::kRateRequests, Phase::kLocal, Executed::kNo), Event::kOwnRejection},
      {Make(Reason::kBreakerOpen, Phase::kLocal, Executed::kNo), Event::kOwnRejection},
      {Make(Reason::kDeadline, Phase::kLocal, Executed::kNo), Event::kOwnRejection},
      {Make(Reason::kNoHealthyUpstream, Phase::kLocal, Executed::kNo), Event::kOwnRejection},
      {Make(Reason::kIdemStoreUnavailable, Phase::kLocal, Executed::kNo), Event::kOwnRejection},
      {Make(Reason::kIdemInFlight, Phase::kLocal, Executed::kNo), Event::kOwnIdempotencyRefusal},
      {Make(Reason::kIdemMismatch, Phase::kLocal, Executed::kNo), Event::kOwnIdempotencyRefusal},
      {Make(Reason::kIdemUnknown, Phase::kLocal, Executed::kNo), Event::kOwnIdempotencyRefusal},
      {Make(Reason::kIdemResponseNotKept, Phase::kLocal, Executed::kNo),
       Event::kOwnIdempotencyRefusal},
      {Make(Reason::kConnectFail, Phase::kConnect, Executed::kNo), Event::kConnectFailed},
      {Make(Reason::kNoHealthyUpstream, Phase::kConnect, Executed::kNo), Event::kConnectFailed},
      {Make(Reason::kPerTryTimeout, Phase::kConnect, Executed::kNo), Event::kConnectFailed},
      {Make(Reason::kUpstreamReset, Phase::kSending), Event::kReset},
      {Make(Reason::kUpstreamReset, Phase::kAwaitingHead), Event::kReset},
      {Make(Reason::kUpstreamProtocol, Phase::kAwaitingHead), Event::kReset},
      {Make(Reason::kUpstreamReset, Phase::kBody), Event::kReset},
      {Make(Reason::kUpstreamReset, Phase::kAwaitingHead, Executed::kMaybe, true),
       Event::kReusedConnectionClosed},
      {Make(Reason::kUpstreamReset, Phase::kBody, Executed::kMaybe, true), Event::kReset},
      {Make(Reason::kUpstreamReset, Phase::kSending, Executed::kNo), Event::kStreamRefused},
      {Make(Reason::kUpstreamReset, Phase::kSending, Executed::kNo, true),
       Event::kGoawayUnprocessed},
      {Make(Reason::kTtftTimeout, Phase::kAwaitingHead), Event::kTimeout},
      {Make(Reason::kPerTryTimeout, Phase::kSending), Event::kTimeout},
      {Make(Reason::kDeadline, Phase::kBody), Event::kTimeout},
      {Make(Reason::kInterTokenTimeout, Phase::kBody), Event::kTimeout},
      {Make(Reason::kRequestTimeout, Phase::kSending), Event::kRequestCutShort},
      {Make(Reason::kBodyTooLarge, Phase::kSending), Event::kRequestCutShort},
  };
  for (const FailureCase& c : cases) {
    SCOPED_TRACE(std::string(http::ReasonName(c.failure.reason)) + " in phase " +
                 std::to_string(static_cast<int>(c.failure.phase)));
    EXPECT_EQ(ClassifyFailure(c.failure), c.event);
  }
}

TEST(Outcome, EveryFailureAfterCommitIsABrokenStream) {
  for (int reason = 1; reason < static_cast<int>(Reason::kCount); ++reason) {
    const Failure failure = Make(static_cast<Reason>(reason), Phase::kBody, Executed::kYes);
    EXPECT_EQ(ClassifyFailure(failure, /*is_committed=*/true), Event::kStreamBroken);
  }
}

// A reason that says "nothing was sent" must not be classified as more than that, and the reverse.
TEST(Outcome, TheVerdictNeverSaysLessThanTheFailure) {
  const Phase phases[] = {Phase::kLocal, Phase::kConnect, Phase::kSending, Phase::kAwaitingHead,
                          Phase::kBody};
  for (int reason = 1; reason < static_cast<int>(Reason::kCount); ++reason) {
    for (const Phase phase : phases) {
      const bool was_sent = phase != Phase::kLocal && phase != Phase::kConnect;
      const Executed executed = was_sent ? Executed::kMaybe : Executed::kNo;
      const auto why = static_cast<Reason>(reason);
      if (why == Reason::kConnectFail || why == Reason::kNoHealthyUpstream) continue;
      const Event event = ClassifyFailure(Make(why, phase, executed));
      if (event == Event::kOwnIdempotencyRefusal) continue;
      EXPECT_EQ(Decide(event, Effects::kUnsafe).executed, executed)
          << http::ReasonName(why) << ' ' << static_cast<int>(phase);
    }
  }
}

TEST(Outcome, StreamErrorsAreClassifiedByTheirType) {
  EXPECT_EQ(ClassifyStreamError(StreamErrorClass::kOverloaded), Event::kStreamErrorThrottled);
  EXPECT_EQ(ClassifyStreamError(StreamErrorClass::kRateLimit), Event::kStreamErrorThrottled);
  EXPECT_EQ(ClassifyStreamError(StreamErrorClass::kServer), Event::kStreamErrorServer);
  EXPECT_EQ(ClassifyStreamError(StreamErrorClass::kInvalidRequest), Event::kStreamErrorInvalid);
}

TEST(Outcome, GrpcStatusesAreClassified) {
  const Event sent[] = {Event::kSuccess,         Event::kClientGone,      Event::kGrpcServerError,
                        Event::kAnswered,        Event::kGrpcTimeout,     Event::kAnswered,
                        Event::kAnswered,        Event::kRefusedByApp,    Event::kGrpcExhausted,
                        Event::kAnswered,        Event::kRefusedByApp,    Event::kAnswered,
                        Event::kAnswered,        Event::kGrpcServerError, Event::kGrpcUnavailable,
                        Event::kGrpcServerError, Event::kUnauthorized,    Event::kGrpcServerError};
  for (int status = 0; status < static_cast<int>(std::size(sent)); ++status) {
    EXPECT_EQ(ClassifyGrpcStatus(status, /*was_sent=*/true), sent[status]) << status;
  }
  EXPECT_EQ(ClassifyGrpcStatus(14, /*was_sent=*/false), Event::kGrpcUnavailableUnsent);
  EXPECT_EQ(ClassifyGrpcStatus(8, /*was_sent=*/false), Event::kGrpcExhaustedUnsent);
}

TEST(Outcome, TheRequestKeepsTheVerdictWithMostExecution) {
  const Verdict reset = Decide(Event::kReset, Effects::kNone);
  const Verdict refused = Decide(Event::kConnectFailed, Effects::kNone);
  const Verdict success = Decide(Event::kSuccess, Effects::kNone);
  const Verdict error = Decide(Event::kServerError, Effects::kNone);
  EXPECT_EQ(Combine(reset, refused), reset);
  EXPECT_EQ(Combine(refused, reset), reset);
  EXPECT_EQ(Combine(reset, success), success);
  EXPECT_EQ(Combine(reset, error), error);
}

TEST(Outcome, AKeyedRouteIsUnsafeForARequestWithoutAKey) {
  EXPECT_EQ(EffectsOfRequest(Effects::kKeyed, false), Effects::kUnsafe);
  EXPECT_EQ(EffectsOfRequest(Effects::kKeyed, true), Effects::kKeyed);
  EXPECT_EQ(EffectsOfRequest(Effects::kNone, false), Effects::kNone);
  EXPECT_EQ(EffectsOfRequest(Effects::kUnsafe, true), Effects::kUnsafe);
}

}  // namespace
}  // namespace outrigger::common
