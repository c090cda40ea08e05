#include "filters/common/local_reply.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "filters/common/stream_grammar.h"

namespace outrigger::common {
namespace {

using http::Effects;
using http::Reason;
using nlohmann::json;

std::vector<Reason> AllReasons() {
  std::vector<Reason> reasons;
  for (int i = 1; i < static_cast<int>(Reason::kCount); ++i) {
    reasons.push_back(static_cast<Reason>(i));
  }
  return reasons;
}

std::map<std::string, std::string> Fields(const LocalReply& reply) {
  std::map<std::string, std::string> fields;
  for (const http::HeaderField& field : reply.headers()) {
    EXPECT_TRUE(fields.emplace(field.name, field.value).second) << field.name;
    EXPECT_EQ(field.id, http::ClassifyHeader(field.name)) << field.name;
  }
  return fields;
}

class ClosedList : public testing::TestWithParam<Reason> {};

INSTANTIATE_TEST_SUITE_P(Reasons, ClosedList, testing::ValuesIn(AllReasons()),
                         [](const auto& row) { return std::string(http::ReasonName(row.param)); });

TEST_P(ClosedList, EveryReplyHasItsReasonAndAnExplicitRetryHint) {
  for (const Effects effects : {Effects::kNone, Effects::kKeyed, Effects::kUnsafe}) {
    Arena arena;
    auto fields = Fields(BuildLocalReply(GetParam(), {.effects = effects}, arena));
    EXPECT_EQ(fields["x-outrigger-reason"], http::ReasonName(GetParam()));
    EXPECT_TRUE(fields["x-should-retry"] == "true" || fields["x-should-retry"] == "false");
    EXPECT_EQ(fields["content-type"], "application/problem+json");
  }
}

TEST_P(ClosedList, Every429And503HasBothRetryAfterForms) {
  for (const absl::Duration asked : {absl::ZeroDuration(), absl::Nanoseconds(1),
                                     absl::Milliseconds(1500), absl::InfiniteDuration()}) {
    Arena arena;
    const LocalReply reply = BuildLocalReply(GetParam(), {.retry_after = asked}, arena);
    auto fields = Fields(reply);
    const bool must_have = reply.status == 429 || reply.status == 503;
    if (must_have) {
      EXPECT_EQ(fields.count("retry-after"), 1u);
    }
    ASSERT_EQ(fields.count("retry-after"), fields.count("retry-after-ms"));
    if (fields.count("retry-after") == 0) continue;
    const int64_t seconds = std::stoll(fields["retry-after"]);
    const int64_t millis = std::stoll(fields["retry-after-ms"]);
    EXPECT_GE(seconds, 1);
    EXPECT_GE(seconds * 1000, millis);
    EXPECT_LT((seconds - 1) * 1000, std::max<int64_t>(millis, 1));
  }
}

TEST_P(ClosedList, EveryBodyIsAProblem) {
  Arena arena;
  const LocalReply reply = BuildLocalReply(
      GetParam(), {.request_id = "req-1", .detail = "said \"no\"\\\n\x01 caf\xc3\xa9"}, arena);
  const json problem = json::parse(reply.body);
  EXPECT_EQ(problem.size(), 5u);
  EXPECT_EQ(problem["type"].get<std::string>().rfind(kProblemTypePrefix, 0), 0u);
  EXPECT_FALSE(problem["title"].get<std::string>().empty());
  EXPECT_EQ(problem["status"], reply.status);
  EXPECT_EQ(problem["instance"], "req-1");
  EXPECT_EQ(problem["detail"], "said \"no\"\\\n\x01 caf\uFFFD\uFFFD");
}

TEST_P(ClosedList, TheOtherErrorFormatsAreJsonToo) {
  Arena arena;
  const LocalReply openai =
      BuildLocalReply(GetParam(), {.detail = "\"", .format = ErrorFormat::kOpenAi}, arena);
  EXPECT_EQ(Fields(openai)["content-type"], "application/json");
  const json error = json::parse(openai.body)["error"];
  EXPECT_EQ(error["code"], std::string(http::ReasonName(GetParam())));
  EXPECT_EQ(error["message"], "\"");
  EXPECT_TRUE(error["type"].is_string());

  const LocalReply anthropic =
      BuildLocalReply(GetParam(), {.request_id = "r", .format = ErrorFormat::kAnthropic}, arena);
  const json envelope = json::parse(anthropic.body);
  EXPECT_EQ(envelope["type"], "error");
  EXPECT_TRUE(envelope["error"]["type"].is_string());
  EXPECT_TRUE(envelope["error"]["message"].is_string());
  EXPECT_EQ(envelope["request_id"], "r");
}

// PR-3: trailers-only, with the code of the table and the hints of every other reply.
TEST_P(ClosedList, GrpcCallersAreToldInFields) {
  for (const Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    Arena arena;
    const LocalReplyContext context = {
        .effects = effects, .detail = "100 %\n", .format = ErrorFormat::kGrpc};
    const LocalReply reply = BuildLocalReply(GetParam(), context, arena);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "");
    auto fields = Fields(reply);
    EXPECT_EQ(fields["content-type"], "application/grpc");
    EXPECT_EQ(fields["grpc-status"], std::to_string(RuleOf(GetParam()).grpc_code));
    EXPECT_NE(fields["grpc-status"], "0");
    EXPECT_EQ(fields["grpc-message"], "100 %25%0A");
    EXPECT_EQ(fields["x-outrigger-reason"], http::ReasonName(GetParam()));
    // Their libraries obey the pushback as SDKs do x-should-retry.
    const bool may_retry = fields["x-should-retry"] == "true";
    if (!may_retry) {
      EXPECT_EQ(fields["grpc-retry-pushback-ms"], "-1");
    } else if (fields.count("retry-after-ms") != 0) {
      EXPECT_EQ(fields["grpc-retry-pushback-ms"], fields["retry-after-ms"]);
    } else {
      EXPECT_EQ(fields.count("grpc-retry-pushback-ms"), 0u);
    }

    http::HeaderList trailers;
    BuildGrpcTrailers(GetParam(), {}, arena, trailers);
    EXPECT_EQ(trailers.Get("grpc-status"), fields["grpc-status"]);
    EXPECT_EQ(trailers.Get("grpc-message"), RuleOf(GetParam()).title);
    EXPECT_EQ(trailers.Get("x-outrigger-reason"), http::ReasonName(GetParam()));
  }
}

TEST(LocalReply, HasRoomForEveryFieldOfAGrpcReply) {
  Arena arena;
  const LocalReply reply = BuildLocalReply(
      Reason::kBreakerOpen,
      {.format = ErrorFormat::kGrpc, .is_outcome_unknown = true, .are_retries_exhausted = true},
      arena);
  EXPECT_LE(reply.headers().size(), LocalReply::kMaxFields);
  EXPECT_EQ(Fields(reply)["x-outrigger-retries-exhausted"], "1");
  EXPECT_EQ(Fields(reply)["x-outrigger-outcome"], "unknown");
  EXPECT_EQ(Fields(BuildLocalReply(Reason::kAuthMissing, {.format = ErrorFormat::kGrpc}, arena))
                .count("www-authenticate"),
            1u);
}

// The error event must be understood by another instance of ourselves, in every format.
TEST_P(ClosedList, TheStreamErrorIsOneErrorEventWithTheSameObject) {
  for (const ErrorFormat format :
       {ErrorFormat::kProblem, ErrorFormat::kOpenAi, ErrorFormat::kAnthropic}) {
    Arena arena;
    const LocalReplyContext context = {.request_id = "r", .detail = "d", .format = format};
    SseParser parser;
    SseEvent event;
    parser.Feed(BuildStreamError(GetParam(), context, arena));
    ASSERT_TRUE(parser.Next(&event));
    EXPECT_EQ(event.type, "error");
    EXPECT_EQ(event.data, BuildLocalReply(GetParam(), context, arena).body);
    EXPECT_EQ(Classify(StreamGrammar::kGeneric, event).kind, EventKind::kError);
    EXPECT_FALSE(parser.Next(&event));
    EXPECT_FALSE(parser.has_partial_event());
  }
}

TEST_P(ClosedList, TheLongestReplyFitsItsFields) {
  Arena arena;
  const LocalReply reply = BuildLocalReply(GetParam(),
                                           {.status = 401,
                                            .is_outcome_unknown = true,
                                            .are_retries_exhausted = true,
                                            .described_by = "/keys"},
                                           arena);
  EXPECT_LE(reply.field_count, LocalReply::kMaxFields);
  EXPECT_EQ(Fields(reply)["x-should-retry"], "false");
}

TEST_P(ClosedList, ATypicalReplyNeedsNoMoreThanTheFirstArenaBlock) {
  Arena arena;
  arena.Allocate(1);
  BuildLocalReply(GetParam(), {.retry_after = absl::Seconds(3), .request_id = "0123456789abcdef"},
                  arena);
  EXPECT_EQ(arena.reserved_bytes(), Arena::kBlockBytes);
}

// The table of B0.3, as it is written there.
struct ExpectedRule {
  Reason reason;
  int status;
  int grpc_code;
  std::string_view retry_after;  // without a wait in the context; empty: none
  std::string_view none;         // x-should-retry by effects
  std::string_view unsafe;
};

constexpr ExpectedRule kExpected[] = {
    {Reason::kBadRequest, 400, 3, "", "false", "false"},
    {Reason::kSchema, 400, 3, "", "false", "false"},
    {Reason::kIdemKeyMissing, 400, 3, "", "false", "false"},
    {Reason::kIdemKeyInvalid, 400, 3, "", "false", "false"},
    {Reason::kAuthMissing, 401, 16, "", "false", "false"},
    {Reason::kAuthInvalid, 401, 16, "", "false", "false"},
    {Reason::kForbidden, 403, 7, "", "false", "false"},
    {Reason::kRequestTimeout, 408, 4, "", "true", "true"},
    {Reason::kNoRoute, 404, 12, "", "false", "false"},
    {Reason::kUriTooLong, 414, 3, "", "false", "false"},
    {Reason::kNotImplemented, 501, 3, "", "false", "false"},
    {Reason::kHttpVersion, 505, 3, "", "false", "false"},
    {Reason::kLoopDetected, 508, 3, "", "false", "false"},
    {Reason::kIdemUnknown, 502, 14, "", "false", "false"},
    {Reason::kIdemInFlight, 409, 10, "1", "true", "true"},
    {Reason::kIdemResponseNotKept, 409, 9, "", "false", "false"},
    {Reason::kBodyTooLarge, 413, 8, "", "false", "false"},
    {Reason::kHeadersTooLarge, 431, 8, "", "false", "false"},
    {Reason::kIdemMismatch, 422, 3, "", "false", "false"},
    {Reason::kRateRequests, 429, 8, "1", "true", "true"},
    {Reason::kRateTokens, 429, 8, "1", "true", "true"},
    {Reason::kRateReplays, 429, 8, "1", "true", "true"},
    {Reason::kThrottled, 429, 8, "1", "true", "true"},
    {Reason::kCostExceedsLimit, 400, 3, "", "false", "false"},
    {Reason::kUpstreamProtocol, 502, 14, "", "true", "false"},
    {Reason::kUpstreamReset, 502, 14, "", "true", "false"},
    {Reason::kConnectFail, 503, 14, "1", "true", "true"},
    {Reason::kNoHealthyUpstream, 503, 14, "1", "true", "true"},
    {Reason::kBreakerOpen, 503, 14, "1", "true", "true"},
    {Reason::kConcurrency, 503, 14, "1", "true", "true"},
    {Reason::kQueueFull, 503, 14, "1", "true", "true"},
    {Reason::kQueueTimeout, 503, 14, "1", "true", "true"},
    {Reason::kOverloadMemory, 503, 14, "1", "true", "true"},
    {Reason::kIdemStoreFull, 503, 14, "1", "true", "true"},
    {Reason::kIdemStoreUnavailable, 503, 14, "1", "true", "true"},
    {Reason::kDraining, 503, 14, "1", "true", "true"},
    {Reason::kTtftTimeout, 504, 4, "", "true", "false"},
    {Reason::kPerTryTimeout, 504, 4, "", "true", "false"},
    {Reason::kDeadline, 504, 4, "", "true", "false"},
    {Reason::kMaxStream, 504, 4, "", "true", "false"},
    {Reason::kInterTokenTimeout, 504, 4, "", "true", "false"},
};
static_assert(std::size(kExpected) + 1 == static_cast<size_t>(Reason::kCount));

TEST(LocalReply, FollowsTheClosedList) {
  for (const ExpectedRule& row : kExpected) {
    SCOPED_TRACE(std::string(http::ReasonName(row.reason)));
    Arena arena;
    const LocalReply none = BuildLocalReply(row.reason, {.effects = Effects::kNone}, arena);
    const LocalReply unsafe = BuildLocalReply(row.reason, {.effects = Effects::kUnsafe}, arena);
    EXPECT_EQ(none.status, row.status);
    EXPECT_EQ(none.grpc_code, row.grpc_code);
    EXPECT_EQ(Fields(none)["retry-after"], row.retry_after);
    EXPECT_EQ(Fields(none)["x-should-retry"], row.none);
    EXPECT_EQ(Fields(unsafe)["x-should-retry"], row.unsafe);
    EXPECT_EQ(Fields(none).count("www-authenticate"), row.status == 401 ? 1u : 0u);
    const bool closes = row.reason == Reason::kRequestTimeout || row.reason == Reason::kDraining;
    EXPECT_EQ(none.closes_connection, closes);
  }
}

// Trap 11: quota of this caller and missing capacity are different problems.
TEST(LocalReply, TellsQuotaFromCapacity) {
  Arena arena;
  for (const Reason reason : AllReasons()) {
    const LocalReply reply = BuildLocalReply(reason, {}, arena);
    const std::string type = json::parse(reply.body)["type"];
    const bool is_quota = type.ends_with("/quota-exceeded");
    const bool is_capacity = type.ends_with("/temporary-reduced-capacity");
    EXPECT_EQ(is_quota, reply.status == 429) << http::ReasonName(reason);
    if (is_capacity) {
      EXPECT_EQ(reply.status, 503) << http::ReasonName(reason);
    }
  }
  const LocalReply full = BuildLocalReply(Reason::kConcurrency, {}, arena);
  EXPECT_NE(full.body.find("/temporary-reduced-capacity"), std::string_view::npos);
}

struct WaitCase {
  Reason reason;
  absl::Duration asked;
  std::string_view seconds;
  std::string_view millis;
  std::string_view should_retry;
};

TEST(LocalReply, RoundsTheWaitUpAndKeepsItsBounds) {
  const WaitCase cases[] = {
      {Reason::kRateRequests, absl::Milliseconds(1), "1", "1", "true"},
      {Reason::kRateRequests, absl::Nanoseconds(1), "1", "1", "true"},
      {Reason::kRateRequests, absl::Microseconds(1000001), "2", "1001", "true"},
      {Reason::kRateRequests, absl::Seconds(2), "2", "2000", "true"},
      {Reason::kRateRequests, absl::Seconds(60), "60", "60000", "true"},
      {Reason::kRateTokens, absl::Milliseconds(60001), "61", "60001", "false"},
      {Reason::kRateTokens, absl::InfiniteDuration(), "31536000", "31536000000", "false"},
      {Reason::kRateTokens, -absl::Seconds(5), "1", "1000", "true"},
      {Reason::kIdemInFlight, absl::Seconds(60), "10", "10000", "true"},
      {Reason::kConcurrency, absl::Milliseconds(20), "1", "1000", "true"},
      {Reason::kConcurrency, absl::Seconds(4), "4", "4000", "true"},
      {Reason::kBreakerOpen, absl::Milliseconds(250), "1", "250", "true"},
  };
  for (const WaitCase& c : cases) {
    SCOPED_TRACE(absl::FormatDuration(c.asked));
    Arena arena;
    auto fields = Fields(BuildLocalReply(c.reason, {.retry_after = c.asked}, arena));
    EXPECT_EQ(fields["retry-after"], c.seconds);
    EXPECT_EQ(fields["retry-after-ms"], c.millis);
    EXPECT_EQ(fields["x-should-retry"], c.should_retry);
  }
}

TEST(LocalReply, SaysThatAnOutcomeIsUnknown) {
  Arena arena;
  auto first = Fields(BuildLocalReply(Reason::kUpstreamReset, {.is_outcome_unknown = true}, arena));
  EXPECT_EQ(first["x-outrigger-outcome"], "unknown");
  EXPECT_EQ(first["x-should-retry"], "false");
  const LocalReply again = BuildLocalReply(Reason::kIdemUnknown, {.status = 504}, arena);
  EXPECT_EQ(again.status, 504);
  EXPECT_EQ(json::parse(again.body)["status"], 504);
  EXPECT_EQ(Fields(again)["x-outrigger-outcome"], "unknown");
}

TEST(LocalReply, StopsOuterRetriesWhenOursAreUsedUp) {
  Arena arena;
  auto none = Fields(BuildLocalReply(
      Reason::kConnectFail, {.effects = Effects::kNone, .are_retries_exhausted = true}, arena));
  EXPECT_EQ(none["x-outrigger-retries-exhausted"], "1");
  EXPECT_EQ(none["x-should-retry"], "true");
  auto unsafe = Fields(BuildLocalReply(
      Reason::kConnectFail, {.effects = Effects::kUnsafe, .are_retries_exhausted = true}, arena));
  EXPECT_EQ(unsafe["x-outrigger-retries-exhausted"], "1");
  EXPECT_EQ(unsafe["x-should-retry"], "false");
}

TEST(LocalReply, ExplainsAMissingKey) {
  Arena arena;
  auto fields =
      Fields(BuildLocalReply(Reason::kIdemKeyMissing, {.described_by = "https://x/keys"}, arena));
  EXPECT_EQ(fields["link"], "<https://x/keys>; rel=\"describedby\"");
}

}  // namespace
}  // namespace outrigger::common
