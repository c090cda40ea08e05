#include "tools/mock-ai/faults.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace outrigger::mock_ai {
namespace {

FaultPlan MustParse(std::string_view spec) {
  absl::StatusOr<FaultPlan> plan = ParseFaults(spec);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : FaultPlan();
}

TEST(ParseFaults, ReadsAStatusWithEachFormOfRetryAfter) {
  const FaultPlan plan = MustParse(
      "status:429; retry-after:Fri, 31 Dec 1999 23:59:59 GMT;retry-after-ms:1500;header:a=b=c");
  EXPECT_EQ(plan.status, 429);
  ASSERT_EQ(plan.headers.size(), 3U);
  EXPECT_EQ(plan.headers[0].name, "retry-after");
  EXPECT_EQ(plan.headers[0].value, "Fri, 31 Dec 1999 23:59:59 GMT");
  EXPECT_EQ(plan.headers[1].name, "retry-after-ms");
  EXPECT_EQ(plan.headers[1].value, "1500");
  EXPECT_EQ(plan.headers[2].name, "a");
  EXPECT_EQ(plan.headers[2].value, "b=c");
  EXPECT_FALSE(plan.is_executed);
}

TEST(ParseFaults, ReadsEveryBodyFault) {
  struct Case {
    std::string_view spec;
    BodyFault fault;
    std::optional<uint64_t> count;
  };
  const std::vector<Case> cases = {
      {"stall-body:7", BodyFault::kStall, 7},
      {"role-only-stall", BodyFault::kRoleOnlyStall, std::nullopt},
      {"ping-only", BodyFault::kPingOnly, std::nullopt},
      {"ping-only:50ms", BodyFault::kPingOnly, std::nullopt},
      {"error-event", BodyFault::kErrorEvent, std::nullopt},
      {"error-event-after:3", BodyFault::kErrorEvent, 3},
      {"cut-after:2", BodyFault::kCut, 2},
      {"no-terminal", BodyFault::kNoTerminal, std::nullopt},
      {"truncate", BodyFault::kTruncate, std::nullopt},
      {"truncate:5", BodyFault::kTruncate, 5},
      {"lie-short", BodyFault::kLieShort, std::nullopt},
      {"truncated-chunk:1", BodyFault::kTruncatedChunk, 1},
      {"bad-chunk", BodyFault::kBadChunk, std::nullopt},
  };
  for (const Case& known : cases) {
    SCOPED_TRACE(known.spec);
    const FaultPlan plan = MustParse(known.spec);
    EXPECT_EQ(plan.body, known.fault);
    EXPECT_EQ(plan.count, known.count);
  }
  EXPECT_EQ(MustParse("ping-only:50ms").ping_interval, absl::Milliseconds(50));
}

TEST(ParseFaults, ReadsTheOtherFaults) {
  EXPECT_EQ(MustParse("stall-head").opening, Opening::kStall);
  EXPECT_EQ(MustParse("close-before-head").opening, Opening::kClose);
  EXPECT_EQ(MustParse("garbage").opening, Opening::kGarbage);
  EXPECT_EQ(MustParse("rst-at:0").reset_at, 0U);
  EXPECT_TRUE(MustParse("close-after-response").closes_silently);
  EXPECT_TRUE(MustParse("trailers").sends_trailers);
  EXPECT_TRUE(MustParse("http10").is_http10);
  EXPECT_TRUE(MustParse("no-continue").withholds_continue);
  EXPECT_TRUE(MustParse("status:500;executed").is_executed);
  EXPECT_EQ(MustParse("informational:103;informational:102").informational,
            (std::vector<int>{103, 102}));
  const FaultPlan times = MustParse("delay:1.5s;ttft:20;itl:3ms;tokens:9");
  EXPECT_EQ(times.delay, absl::Milliseconds(1500));
  EXPECT_EQ(times.ttft, absl::Milliseconds(20));
  EXPECT_EQ(times.itl, absl::Milliseconds(3));
  EXPECT_EQ(times.tokens, 9);
  const FaultPlan slow = MustParse("slow-response:16,5ms");
  EXPECT_EQ(slow.pace->bytes, 16U);
  EXPECT_EQ(slow.pace->interval, absl::Milliseconds(5));
  const FaultPlan early = MustParse("early-response:200,keep");
  EXPECT_EQ(early.early->status, 200);
  EXPECT_TRUE(early.early->keeps_connection);
  EXPECT_TRUE(MustParse("early-response:413,abort").early->aborts);
  EXPECT_EQ(MustParse("early-response").early->status, 413);
}

TEST(ParseFaults, ReadsFirstAloneAndInFrontOfAClause) {
  EXPECT_EQ(MustParse("first:2;status:503").first, 2U);
  const FaultPlan plan = MustParse("first:3:status:503");
  EXPECT_EQ(plan.first, 3U);
  EXPECT_EQ(plan.status, 503);
}

TEST(ParseFaults, AnEmptySpecIsNoFault) {
  const FaultPlan plan = MustParse(" ; ");
  EXPECT_EQ(plan.body, BodyFault::kNone);
  EXPECT_EQ(plan.opening, Opening::kHead);
  EXPECT_FALSE(plan.status.has_value());
}

TEST(ParseFaults, RefusesWhatItDoesNotUnderstandAndNamesIt) {
  for (const std::string spec : {"nonsense",
                                 "status",
                                 "status:99",
                                 "status:600",
                                 "status:abc",
                                 "status:503x",
                                 "header:x",
                                 "header:=x",
                                 "stall-body",
                                 "stall-body:x",
                                 "stall-body:-1",
                                 "no-terminal:1",
                                 "garbage:1",
                                 "rst-at",
                                 "cut-after:1;truncate",
                                 "stall-head;garbage",
                                 "slow-response",
                                 "slow-response:0",
                                 "slow-response:1,soon",
                                 "early-response:100",
                                 "early-response:200,maybe",
                                 "informational:101",
                                 "informational:200",
                                 "delay:-1s",
                                 "delay:x",
                                 "tokens:0",
                                 "first:x",
                                 "ping-only:0",
                                 "trailers:2",
                                 "first:1:nonsense"}) {
    SCOPED_TRACE(spec);
    const absl::StatusOr<FaultPlan> plan = ParseFaults(spec);
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(plan.status().message().find('"'), absl::string_view::npos);
  }
}

TEST(ParseFaults, AClauseOfAListMayContainASemicolon) {
  const absl::StatusOr<FaultPlan> plan =
      ParseFaults(std::vector<std::string>{"header:link=<a>; rel=b", "status:503"});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->headers[0].value, "<a>; rel=b");
  EXPECT_EQ(plan->status, 503);
}

TEST(FaultQueue, CountsDownAndKeepsToThePath) {
  FaultQueue queue;
  queue.Add({.spec = "a", .plan = MustParse("status:500"), .count = 2, .path = "/v1/chat"});
  queue.Add({.spec = "b", .plan = MustParse("status:501"), .count = -1});
  EXPECT_EQ(queue.Take("/v1/models", false)->status, 501);
  EXPECT_EQ(queue.Take("/v1/chat/completions", false)->status, 500);
  EXPECT_EQ(queue.Take("/v1/chat/completions", false)->status, 500);
  EXPECT_EQ(queue.Take("/v1/chat/completions", false)->status, 501);
  EXPECT_EQ(queue.entries().size(), 1U);
  queue.Clear();
  EXPECT_FALSE(queue.Take("/", false).has_value());
}

TEST(FaultQueue, SparesHealthChecksUnlessTheyAreNamed) {
  FaultQueue queue;
  queue.Add({.plan = MustParse("status:500"), .count = -1});
  EXPECT_FALSE(queue.Take("/health", true).has_value());
  queue.Add({.plan = MustParse("status:501"), .count = 1, .path = "/health"});
  EXPECT_EQ(queue.Take("/health", true)->status, 501);
  EXPECT_FALSE(queue.Take("/health", true).has_value());
}

}  // namespace
}  // namespace outrigger::mock_ai
