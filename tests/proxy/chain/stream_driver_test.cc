// In what order the driver does what it does, and that it says everything once.

#include "proxy/chain/stream_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/proxy/chain/driver_world.h"

namespace outrigger::chain {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kTimeoutOnly =
    "filters: [timeout: {overall: 8s, ttft: 6s, inter_token: 2s, max_stream: 9s}]";
const std::pair<std::string, std::string> kEventStream{"Content-Type", "text/event-stream"};
const std::string kToken = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const std::string kDone = "data: [DONE]\n\n";

// Everything in the journal but `what`.
Journal Without(const Journal& journal, std::string_view what) {
  Journal rest;
  for (const std::string& entry : journal) {
    if (entry != what) rest.push_back(entry);
  }
  return rest;
}

class StreamDriverTest : public testing::Test {
 protected:
  void Start(FakeRequest request) {
    exchange_.emplace(world_, std::move(request));
    exchange_->Start();
  }
  void StartAndRun(FakeRequest request = {}) {
    Start(std::move(request));
    world_.loop.Advance(Milliseconds(50));
  }
  FakeStream& stream() { return exchange_->stream; }

  // Ends the exchange, and looks at what was said about it: one line, one count.
  nlohmann::json Said(const std::string& code_class, const std::string& reason) {
    exchange_->End();
    world_.loop.RunPending();
    EXPECT_EQ(world_.active_requests, 0);
    EXPECT_EQ(world_.InFlight(), 0);
    EXPECT_EQ(world_.service.live_connections(), 0);
    EXPECT_EQ(world_.Requests("unmatched", code_class, reason) +
                  world_.Requests("openai-chat", code_class, reason),
              1);
    double all = 0;
    for (const auto& family : world_.registry.Collect()) {
      if (family.name != "outrigger_requests_total") continue;
      for (const auto& metric : family.metric) all += metric.counter.value;
    }
    EXPECT_EQ(all, 1);
    const std::vector<nlohmann::json> lines = world_.AccessLog();
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? nlohmann::json() : lines.front();
  }

  DriverWorld world_{kTimeoutOnly};
  std::optional<FakeExchange> exchange_;
};

using StreamDriver = StreamDriverTest;

TEST_F(StreamDriver, EndsTheAnswerThenGivesBackTheLeasesLastFirstThenTheConnection) {
  world_.service.Answer({.pieces = {"hel", "lo"}, .leases = {"outer", "inner"}});
  StartAndRun({.path = "/"});
  EXPECT_EQ(stream().body(), "hello");
  EXPECT_THAT(world_.journal,
              ElementsAre("head 200", "data", "data", "finish", "lease inner told complete",
                          "lease inner gone", "lease outer told complete", "lease outer gone",
                          "connection"));
  const nlohmann::json line = Said("2xx", "");
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["response_bytes"], 5);
  EXPECT_FALSE(line.contains("outcome"));
}

TEST_F(StreamDriver, TellsTheLeasesOfAClientThatLeavesInTheBody) {
  world_.service.Answer({.pieces = {"hel"}, .hangs = true, .leases = {"a"}});
  StartAndRun({.path = "/"});
  exchange_->Leave();
  EXPECT_THAT(world_.journal, ElementsAre("head 200", "data", "lease a told client_gone",
                                          "lease a gone", "connection"));
  const nlohmann::json line = Said("2xx", "");
  EXPECT_EQ(line["outcome"], "client_gone");
}

TEST_F(StreamDriver, DropsTheAttemptOfAClientThatLeavesBeforeTheHead) {
  world_.service.Answer({.hangs = true, .leases = {"a"}});
  StartAndRun({.path = "/"});
  exchange_->Leave();
  EXPECT_THAT(world_.journal, ElementsAre("connection"));
  const nlohmann::json line = Said("none", "");
  EXPECT_EQ(line["outcome"], "client_gone");
  EXPECT_EQ(line["status"], 0);
}

TEST_F(StreamDriver, AbortsAnAnswerThatIsCutBeforeItTellsTheLeases) {
  world_.service.Answer({.pieces = {"hel"}, .is_cut = true, .leases = {"a"}});
  StartAndRun({.path = "/"});
  EXPECT_THAT(world_.journal, ElementsAre("head 200", "data", "abort", "lease a told cut",
                                          "lease a gone", "connection"));
  const nlohmann::json line = Said("5xx", "upstream_reset");
  EXPECT_EQ(line["outcome"], "cut");
}

TEST_F(StreamDriver, SaysInAStreamWhyItIsCutAndAborts) {
  world_.service.Answer(
      {.headers = {kEventStream}, .pieces = {kToken}, .is_cut = true, .leases = {"a"}});
  StartAndRun();
  EXPECT_THAT(stream().body(), HasSubstr(kToken));
  EXPECT_THAT(stream().body(), HasSubstr("event: error"));
  EXPECT_THAT(stream().body(), HasSubstr("problem/upstream-reset"));
  EXPECT_THAT(Without(world_.journal, "data"),
              ElementsAre("head 200", "abort", "lease a told cut", "lease a gone", "connection"));
  Said("5xx", "upstream_reset");
  EXPECT_EQ(world_.Counter("outrigger_stream_outcome_total", {"openai-chat", "cut"}), 1);
}

TEST_F(StreamDriver, CountsAStreamThatStallsAsOneOfOurTimersEndsIt) {
  world_.service.Answer(
      {.headers = {kEventStream}, .pieces = {kToken}, .hangs = true, .leases = {"a"}});
  StartAndRun();
  EXPECT_FALSE(stream().is_over());
  world_.loop.Advance(Seconds(3));
  EXPECT_TRUE(stream().is_aborted());
  EXPECT_THAT(Without(world_.journal, "data"),
              ElementsAre("head 200", "abort", "lease a told stall", "lease a gone", "connection"));
  Said("5xx", "inter_token_timeout");
  EXPECT_EQ(world_.Counter("outrigger_stream_outcome_total", {"openai-chat", "stall"}), 1);
}

TEST_F(StreamDriver, TakesAStreamWithoutItsLastWordForCutAlthoughItsFramingEnds) {
  world_.service.Answer({.headers = {kEventStream}, .pieces = {kToken}, .leases = {"a"}});
  StartAndRun();
  EXPECT_FALSE(stream().is_aborted());
  EXPECT_THAT(Without(world_.journal, "data"),
              ElementsAre("head 200", "finish", "lease a told cut", "lease a gone", "connection"));
  Said("5xx", "");
}

TEST_F(StreamDriver, SaysOnceThatAStreamIsComplete) {
  world_.service.Answer({.headers = {kEventStream}, .pieces = {kToken, kDone}});
  StartAndRun();
  EXPECT_EQ(stream().body(), kToken + kDone);
  Said("2xx", "");
  EXPECT_EQ(world_.Counter("outrigger_stream_outcome_total", {"openai-chat", "complete"}), 1);
}

TEST_F(StreamDriver, IsNotToldTwiceWhatHasEnded) {
  world_.service.Answer({.pieces = {"x"}, .leases = {"a"}});
  StartAndRun({.path = "/"});
  const Journal before = world_.journal;
  exchange_->Shutdown();
  world_.loop.Advance(Seconds(20));  // past its deadline
  EXPECT_EQ(world_.journal, before);
  Said("2xx", "");
}

TEST_F(StreamDriver, PassesTrailersAfterTheLastData) {
  world_.service.Answer({.pieces = {"a", "b"}, .trailers = {{"x-sum", "7"}}});
  StartAndRun({.path = "/"});
  EXPECT_THAT(world_.journal,
              ElementsAre("head 200", "data", "data", "finish with trailers", "connection"));
}

TEST_F(StreamDriver, WaitsWithTheNextDataUntilTheClientHasTakenTheLast) {
  world_.service.Answer({.pieces = {"a", "b", "c"}});
  StartAndRun({.path = "/", .takes = false});
  EXPECT_THAT(world_.journal, ElementsAre("head 200", "data"));
  stream().SetTaking(true);
  world_.loop.Advance(Milliseconds(10));
  EXPECT_EQ(stream().body(), "abc");
  EXPECT_TRUE(stream().is_over());
}

TEST_F(StreamDriver, SendsAnEarlyAnswerWhileTheRequestIsStillComing) {
  world_.service.Answer({.is_early = true, .status = 413, .pieces = {"too much"}});
  Start({.path = "/", .pieces = std::vector<std::string>(100, "x")});
  world_.loop.Advance(Milliseconds(10));
  EXPECT_EQ(stream().status(), 413);
  EXPECT_EQ(stream().body(), "too much");
  EXPECT_TRUE(stream().is_over());
  EXPECT_EQ(world_.service.received().front(), "");
  EXPECT_EQ(Said("4xx", "")["request_bytes"], 0);
}

TEST_F(StreamDriver, SendsNoBodyToHead) {
  world_.service.Answer({.pieces = {"hello"}, .leases = {"a"}});
  StartAndRun({.method = http::Method::kHead, .path = "/"});
  EXPECT_EQ(stream().body(), "");
  EXPECT_THAT(world_.journal, ElementsAre("head 200", "finish", "lease a told complete",
                                          "lease a gone", "connection"));
  EXPECT_EQ(Said("2xx", "")["response_bytes"], 0);
}

TEST_F(StreamDriver, PassesInterimAnswersBeforeTheOneThatCounts) {
  world_.service.Answer({.interim = 103, .pieces = {"x"}});
  StartAndRun({.path = "/"});
  EXPECT_THAT(world_.journal,
              ElementsAre("interim 103", "head 200", "data", "finish", "connection"));
  EXPECT_EQ(Said("2xx", "")["status"], 200);
}

TEST_F(StreamDriver, AnswersItselfAtTheDeadlineAndThenForgetsTheAttempt) {
  world_.service.Answer({.hangs = true, .leases = {"a"}});
  StartAndRun({.path = "/"});
  world_.loop.Advance(Seconds(9));
  EXPECT_EQ(stream().status(), 504);
  EXPECT_EQ(stream().header("x-outrigger-reason"), "deadline");
  EXPECT_THAT(world_.journal, ElementsAre("connection", "head 504", "data", "finish"));
  EXPECT_EQ(Said("5xx", "deadline")["status"], 504);
  EXPECT_EQ(world_.Counter("outrigger_timeouts_total", {"overall"}), 1);
}

TEST_F(StreamDriver, CutsAnAnswerAtTheDeadline) {
  world_.service.Answer({.pieces = {"hel"}, .hangs = true, .leases = {"a"}});
  StartAndRun({.path = "/"});
  world_.loop.Advance(Seconds(9));
  EXPECT_THAT(world_.journal, ElementsAre("head 200", "data", "abort", "lease a told stall",
                                          "lease a gone", "connection"));
  Said("5xx", "deadline");
}

TEST_F(StreamDriver, KeepsTheCallersShorterDeadline) {
  world_.service.Answer({.hangs = true});
  Start({.path = "/", .headers = {{"x-request-timeout-ms", "20"}}});
  world_.loop.Advance(Milliseconds(19));
  EXPECT_FALSE(stream().is_over());
  world_.loop.Advance(Milliseconds(1));
  EXPECT_EQ(stream().status(), 504);
  Said("5xx", "deadline");
  EXPECT_EQ(world_.loop.armed_timers(), 0u);
}

TEST_F(StreamDriver, DoesNotBotherTheServiceWithWhatHasExpired) {
  StartAndRun({.path = "/", .headers = {{"x-request-timeout-ms", "0"}}});
  EXPECT_EQ(stream().status(), 504);
  EXPECT_EQ(world_.service.attempts(), 0);
  Said("5xx", "deadline");
}

TEST_F(StreamDriver, TurnsAFailureIntoOneLocalReply) {
  world_.service.Answer({.failure = http::Failure{.reason = http::Reason::kConnectFail,
                                                  .phase = http::Phase::kConnect}});
  StartAndRun({.path = "/"});
  EXPECT_THAT(world_.journal, ElementsAre("connection", "head 503", "data", "finish"));
  EXPECT_EQ(stream().header("x-outrigger-reason"), "connect_fail");
  EXPECT_EQ(Said("5xx", "connect_fail")["reason"], "connect_fail");
}

TEST_F(StreamDriver, RefusesWhenTheMemoryIsUsedUp) {
  world_.shared.memory().Charge(world_.shared.memory().limit_bytes());
  StartAndRun({.path = "/"});
  world_.shared.memory().Release(world_.shared.memory().limit_bytes());
  EXPECT_EQ(stream().header("x-outrigger-reason"), "overload_memory");
  EXPECT_EQ(world_.service.attempts(), 0);
  Said("5xx", "overload_memory");
}

TEST_F(StreamDriver, SaysCloseWhileItDrainsAndRefusesAfterwards) {
  world_.service.AnswerAlways({.pieces = {"x"}});
  world_.is_draining = true;
  StartAndRun({.path = "/"});
  EXPECT_EQ(stream().status(), 200);
  EXPECT_TRUE(stream().closes());
  exchange_->End();
  world_.refuses_requests = true;
  StartAndRun({.path = "/"});
  EXPECT_EQ(stream().header("x-outrigger-reason"), "draining");
  EXPECT_TRUE(stream().closes());
  EXPECT_EQ(world_.service.attempts(), 1);
}

TEST_F(StreamDriver, ShutsDownWithAnAnswerBeforeTheHeadAndACutAfterIt) {
  world_.service.Answer({.hangs = true});
  StartAndRun({.path = "/"});
  exchange_->Shutdown();
  EXPECT_EQ(stream().header("x-outrigger-reason"), "draining");
  EXPECT_FALSE(stream().is_aborted());
  EXPECT_EQ(Said("5xx", "draining")["status"], 503);

  world_.journal.clear();
  world_.service.Answer({.pieces = {"x"}, .hangs = true, .leases = {"a"}});
  StartAndRun({.path = "/"});
  exchange_->Shutdown();
  EXPECT_THAT(world_.journal, ElementsAre("head 200", "data", "abort", "lease a told cut",
                                          "lease a gone", "connection"));
}

}  // namespace
}  // namespace outrigger::chain
