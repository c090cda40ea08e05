#include "filters/idempotency/replay.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace outrigger::idempotency {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
using testing::ElementsAre;
using testing::Pair;

Fields ToFields(const http::HeaderList& list) {
  Fields fields;
  for (const http::HeaderField& field : list) fields.emplace_back(field.name, field.value);
  return fields;
}

RecordedHead Head(const Fields& fields) {
  http::HeaderList list;
  for (const auto& [name, value] : fields) list.Add(name, value);
  RecordedHead head;
  head.status = 201;
  head.headers = PackedHeaders(list);
  return head;
}

Fields Replay(const RecordedHead& head, const ReplayInfo& info = {}) {
  Arena arena;
  http::HeaderList list;
  AppendReplayedHeaders(head, info, arena, list);
  return ToFields(list);
}

TEST(Replay, RepeatsWhatTheServiceSaidAndMarksIt) {
  const RecordedHead head = Head({{"Content-Type", "application/json"},
                                  {"Location", "/things/1"},
                                  {"ETag", "\"x\""},
                                  {"Content-Length", "12"},
                                  {"Vary", "A"},
                                  {"Vary", "B"},
                                  {"Empty", ""}});
  EXPECT_THAT(Replay(head),
              ElementsAre(Pair("Content-Type", "application/json"), Pair("Location", "/things/1"),
                          Pair("ETag", "\"x\""), Pair("Content-Length", "12"), Pair("Vary", "A"),
                          Pair("Vary", "B"), Pair("Empty", ""), Pair("Idempotent-Replayed", "true"),
                          Pair("x-outrigger-idempotency", "replayed")));
}

TEST(Replay, LeavesOutWhatBelongedToTheFirstCaller) {
  Fields denied;
  for (const char* name : {"Connection",
                           "Keep-Alive",
                           "Proxy-Connection",
                           "Proxy-Authenticate",
                           "Proxy-Anything",
                           "TE",
                           "Transfer-Encoding",
                           "Upgrade",
                           "Date",
                           "Set-Cookie",
                           "WWW-Authenticate",
                           "RateLimit",
                           "RateLimit-Policy",
                           "RateLimit-Remaining",
                           "x-ratelimit-limit-tokens",
                           "Retry-After",
                           "retry-after-ms",
                           "Server-Timing",
                           "traceparent",
                           "tracestate",
                           "X-Request-Id",
                           "x-envoy-upstream-service-time",
                           "x-outrigger-reason"}) {
    denied.emplace_back(name, "close");
    EXPECT_FALSE(IsReplayable(name)) << name;
  }
  EXPECT_THAT(Replay(Head(denied)), ElementsAre(Pair("Idempotent-Replayed", "true"),
                                                Pair("x-outrigger-idempotency", "replayed")));
}

TEST(Replay, LeavesOutWhatConnectionNames) {
  const RecordedHead head =
      Head({{"X-Hop", "1"}, {"Connection", "x-other, x-HOP"}, {"X-Keep", "2"}});
  EXPECT_THAT(Replay(head), ElementsAre(Pair("X-Keep", "2"), Pair("Idempotent-Replayed", "true"),
                                        Pair("x-outrigger-idempotency", "replayed")));
}

TEST(Replay, NamesTheOriginalRequestAndTheExpiry) {
  RecordedHead head = Head({});
  head.request_id = "first";
  const Fields fields =
      Replay(head, {.outcome = Outcome::kJoined, .expires_in = absl::Milliseconds(90999)});
  EXPECT_THAT(fields, ElementsAre(Pair("Idempotent-Replayed", "true"),
                                  Pair("x-outrigger-original-request-id", "first"),
                                  Pair("x-outrigger-idempotency", "joined"),
                                  Pair("x-outrigger-idempotency-expires", "90")));
}

TEST(Replay, NeverSaysANegativeExpiry) {
  Arena arena;
  http::HeaderList list;
  AppendOutcome(Outcome::kStored, absl::Seconds(-5), arena, list);
  EXPECT_THAT(ToFields(list), ElementsAre(Pair("x-outrigger-idempotency", "stored"),
                                          Pair("x-outrigger-idempotency-expires", "0")));
}

TEST(Outcome, HasTheWordsOfTheContract) {
  EXPECT_EQ(OutcomeName(Outcome::kStored), "stored");
  EXPECT_EQ(OutcomeName(Outcome::kReplayed), "replayed");
  EXPECT_EQ(OutcomeName(Outcome::kJoined), "joined");
  EXPECT_EQ(OutcomeName(Outcome::kReleased), "released");
  EXPECT_EQ(OutcomeName(Outcome::kBypassed), "bypassed");
}

}  // namespace
}  // namespace outrigger::idempotency
