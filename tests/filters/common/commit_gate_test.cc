#include "filters/common/commit_gate.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/pooled.h"
#include "proxy/base/random.h"
#include "tests/support/fake_loop.h"
#include "tests/support/scripted_next.h"

namespace outrigger::common {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using http::Failure;
using http::Phase;
using http::Reason;

constexpr std::string_view kPing = ": ping\n\n";
constexpr std::string_view kRole = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
constexpr std::string_view kToken = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

BodyStep After(absl::Duration delay, std::string_view data) {
  return {.data = std::string(data), .delay = delay};
}

ScriptedResponse Stream(std::vector<BodyStep> body, bool ends = true) {
  return {.headers = {{"Content-Type", "text/event-stream"}, {"X-Model", "m1"}},
          .body = std::move(body),
          .ends = ends};
}

struct Worker {
  explicit Worker(StreamGrammar grammar = StreamGrammar::kOpenAi, bool holds = true)
      : gate(loop, grammar, holds ? &hold : nullptr) {}

  FakeLoop loop;
  DeadlineQueue hold{loop, CommitGate::kLongestHold};
  CommitGate gate;
  ScriptedNext next{loop};
};

// Reads to the end while the clock runs.
std::string Body(Worker& worker, FilterRun& run) {
  run.StartReading();
  worker.loop.Advance(absl::Hours(1));
  EXPECT_TRUE(run.is_read());
  return run.body();
}

TEST(CommitGate, HoldsTheHeadUntilTheFirstContent) {
  Worker worker;
  worker.next.Respond(Stream({After(Seconds(1), kPing), After(Seconds(1), kRole),
                              After(Seconds(1), kToken), After(Seconds(1), kDone)}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(3) - Milliseconds(1));
  EXPECT_FALSE(run.is_done());
  worker.loop.Advance(Milliseconds(1));
  ASSERT_TRUE(run.is_done());
  ASSERT_NE(run.result()->stream, nullptr);
  EXPECT_EQ(run.result()->stream->content_events, 1u);
  EXPECT_EQ(run.result()->stream->first_content, worker.loop.Now());
  EXPECT_EQ(run.result()->headers.Get("x-model"), "m1");
  EXPECT_EQ(Body(worker, run),
            std::string(kPing) + std::string(kRole) + std::string(kToken) + std::string(kDone));
  EXPECT_TRUE(run.result()->stream->has_terminal);
  EXPECT_TRUE(run.result()->stream->is_complete);
}

TEST(CommitGate, PassesEveryByteOnHoweverTheStreamIsCut) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::string text;
    for (int i = static_cast<int>(random.Below(6)); i > 0; --i) text += kPing;
    text += kRole;
    const int tokens = static_cast<int>(random.Below(10));
    for (int i = 0; i < tokens; ++i) text += random.Below(3) == 0 ? kPing : kToken;
    text += kDone;
    std::vector<BodyStep> steps;
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min<size_t>(1 + random.Below(60), text.size() - at);
      steps.push_back(After(Milliseconds(random.Below(4) * 500), text.substr(at, size)));
      at += size;
    }
    Worker worker(StreamGrammar::kOpenAi, random.Below(4) != 0);
    worker.next.Respond(Stream(steps));
    FilterRun run(worker.loop, worker.gate, worker.next);
    run.Start();
    worker.loop.Advance(CommitGate::kLongestHold);
    ASSERT_TRUE(run.is_done());
    ASSERT_TRUE(run.result().ok());
    EXPECT_EQ(Body(worker, run), text);
    EXPECT_TRUE(run.result()->stream->is_complete);
  }
}

TEST(CommitGate, MakesAnErrorBeforeContentTheStatusItStandsFor) {
  struct Row {
    StreamGrammar grammar;
    const char* error;
    int status;
    http::StreamError kind;
  };
  const Row rows[] = {
      {StreamGrammar::kAnthropic, R"({"type":"error","error":{"type":"overloaded_error"}})", 529,
       http::StreamError::kThrottled},
      {StreamGrammar::kAnthropic, R"({"type":"error","error":{"type":"rate_limit_error"}})", 429,
       http::StreamError::kThrottled},
      {StreamGrammar::kAnthropic, R"({"type":"error","error":{"type":"api_error"}})", 502,
       http::StreamError::kServer},
      {StreamGrammar::kAnthropic, R"({"type":"error","error":{"type":"invalid_request_error"}})",
       400, http::StreamError::kInvalid},
      {StreamGrammar::kOpenAi, R"({"error":{"type":"server_error","message":"no"}})", 502,
       http::StreamError::kServer},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.error);
    Worker worker(row.grammar);
    worker.next.Respond(
        Stream({After(Seconds(1), kPing),
                After(Seconds(1), "event: error\ndata: " + std::string(row.error) + "\n\n")},
               /*ends=*/false));
    FilterRun run(worker.loop, worker.gate, worker.next);
    run.Start();
    worker.loop.Advance(Seconds(2));
    ASSERT_TRUE(run.is_done());
    const http::Response& response = run.result().value();
    EXPECT_EQ(response.status, row.status);
    EXPECT_EQ(response.stream_error, row.kind);
    EXPECT_EQ(response.stream, nullptr);
    EXPECT_EQ(response.headers.Get("content-type"), "application/json");
    EXPECT_EQ(response.headers.Get("x-model"), "m1");
    EXPECT_EQ(response.body_length, std::string_view(row.error).size());
    // The attempt behind it is given back.
    EXPECT_EQ(worker.next.live_bodies(), 0);
    EXPECT_EQ(Body(worker, run), row.error);
  }
}

TEST(CommitGate, LeavesAnErrorAfterContentInTheStream) {
  Worker worker;
  const std::string error = "data: {\"error\":{\"type\":\"server_error\"}}\n\n";
  worker.next.Respond(Stream({After(Seconds(1), kToken), After(Seconds(1), error)}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(1));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 200);
  EXPECT_EQ(Body(worker, run), std::string(kToken) + error);
  EXPECT_TRUE(run.result()->stream->has_error_event);
  EXPECT_EQ(run.result()->stream->error_status, 502);
  EXPECT_FALSE(run.result()->stream->is_complete);
}

TEST(CommitGate, LetsASilentStreamGoAfterTheLongestHold) {
  Worker worker;
  std::vector<BodyStep> body(20, After(Seconds(1), kPing));
  body.push_back(After(Seconds(1), kToken));
  body.push_back(After(Seconds(1), kDone));
  worker.next.Respond(Stream(body));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(CommitGate::kLongestHold - Milliseconds(1));
  EXPECT_FALSE(run.is_done());
  worker.loop.Advance(Milliseconds(1));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 200);
  EXPECT_EQ(run.result()->stream->content_events, 0u);
  std::string expected;
  for (int i = 0; i < 20; ++i) expected += kPing;
  EXPECT_EQ(Body(worker, run), expected + std::string(kToken) + std::string(kDone));
}

TEST(CommitGate, LetsAStreamGoWhosePreambleIsTooLong) {
  Worker worker;
  const std::string comment = ": " + std::string(CommitGate::kMaxHeldBytes, 'x') + "\n\n";
  worker.next.Respond(Stream({After(Seconds(1), comment), After(Seconds(5), kDone)}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(1));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(Body(worker, run), comment + std::string(kDone));
}

TEST(CommitGate, HoldsNothingWhereTheHeadersCommit) {
  Worker worker(StreamGrammar::kOpenAi, /*holds=*/false);
  worker.next.Respond(Stream({After(Seconds(5), kToken), After(Seconds(1), kDone)}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  ASSERT_TRUE(run.is_done());
  ASSERT_NE(run.result()->stream, nullptr);
  EXPECT_EQ(run.result()->stream->content_events, 0u);
  EXPECT_EQ(Body(worker, run), std::string(kToken) + std::string(kDone));
  EXPECT_EQ(run.result()->stream->content_events, 1u);
}

TEST(CommitGate, MakesACutBeforeContentAFailedAttempt) {
  Worker worker;
  worker.next.Respond(Stream({After(Seconds(1), kPing),
                              {.delay = Seconds(1),
                               .failure = Failure{.reason = Reason::kUpstreamReset,
                                                  .phase = Phase::kBody,
                                                  .executed = http::Executed::kMaybe}}}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(2));
  ASSERT_TRUE(run.is_done());
  ASSERT_FALSE(run.result().ok());
  EXPECT_EQ(run.result().error().reason, Reason::kUpstreamReset);
  // So that the outcome table sees an attempt without a response, which may be repeated.
  EXPECT_EQ(run.result().error().phase, Phase::kAwaitingHead);
  EXPECT_EQ(worker.next.live_bodies(), 0);
}

TEST(CommitGate, PassesACutAfterContentOnBehindTheContent) {
  Worker worker;
  worker.next.Respond(
      Stream({After(Seconds(1), kToken),
              {.failure = Failure{.reason = Reason::kUpstreamReset, .phase = Phase::kBody}}}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(1));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(Body(worker, run), kToken);
  ASSERT_TRUE(run.body_failure().has_value());
  EXPECT_EQ(run.body_failure()->phase, Phase::kBody);
}

TEST(CommitGate, PassesWhatIsNoReadableStreamAtOnce) {
  const std::vector<std::vector<std::pair<std::string, std::string>>> heads = {
      {},
      {{"Content-Type", "application/json"}},
      {{"Content-Type", "text/event-streams"}},
      {{"Content-Type", "text/event-stream"}, {"Content-Encoding", "gzip"}},
  };
  for (const auto& head : heads) {
    Worker worker;
    worker.next.Respond({.headers = head, .body = {After(Seconds(5), "bytes")}});
    FilterRun run(worker.loop, worker.gate, worker.next);
    run.Start();
    ASSERT_TRUE(run.is_done());
    EXPECT_EQ(run.result()->stream, nullptr);
    EXPECT_NE(dynamic_cast<ScriptedBody*>(run.result()->body.get()), nullptr);
  }
}

TEST(CommitGate, PassesAnErrorStatusOfAStreamAtOnce) {
  Worker worker;
  ScriptedResponse response = Stream({After(Seconds(5), kPing)});
  response.status = 503;
  worker.next.Respond(response);
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result()->status, 503);
}

TEST(CommitGate, LeavesNothingWhenTheClientGoesAtAnyWait) {
  for (const absl::Duration when : {Milliseconds(500), Seconds(3), Seconds(20)}) {
    SCOPED_TRACE(absl::FormatDuration(when));
    auto worker = std::make_unique<Worker>();
    const long blocks = LivePooledBlocks();
    {
      std::vector<BodyStep> body(30, After(Seconds(1), kPing));
      ScriptedResponse response = Stream(body, /*ends=*/false);
      response.delay = Seconds(1);
      worker->next.Respond(response);
      FilterRun run(worker->loop, worker->gate, worker->next);
      run.Start();
      worker->loop.Advance(std::min(when, Seconds(16)));
      if (run.is_done()) {
        run.StartReading();
        worker->loop.Advance(when - Seconds(16));
        ASSERT_FALSE(run.is_read());
      }
      run.Drop();
      EXPECT_EQ(worker->next.live_calls(), 0);
      EXPECT_EQ(worker->next.live_bodies(), 0);
      EXPECT_TRUE(worker->hold.empty());
      // The queue's own timer may still be armed; it finds nothing and stays away.
      worker->loop.Advance(absl::Minutes(1));
      EXPECT_EQ(worker->loop.armed_timers(), 0u);
    }
    EXPECT_EQ(LivePooledBlocks(), blocks);
  }
}

TEST(CommitGate, ReadsTheContentType) {
  const struct {
    const char* value;
    bool is_stream;
  } rows[] = {{"text/event-stream", true},     {"TEXT/Event-Stream ; charset=utf-8", true},
              {"text/event-stream;", true},    {"text/event-stream, x", false},
              {"text/event-streaming", false}, {"", false}};
  for (const auto& row : rows) {
    http::HeaderList headers;
    headers.Add("content-type", row.value);
    EXPECT_EQ(IsEventStream(headers), row.is_stream) << row.value;
  }
}

TEST(CommitGate, DroppedWhileItHoldsTheRequestMayHaveBeenExecuted) {
  Worker worker;
  worker.next.Respond(Stream({After(Seconds(1), kPing)}, /*ends=*/false));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(2));
  ASSERT_FALSE(run.is_done());
  EXPECT_EQ(run.request.executed, http::Executed::kNo);
  run.Drop();
  EXPECT_EQ(run.request.executed, http::Executed::kMaybe);
}

TEST(CommitGate, PassedOnItLeavesTheVerdictToOthers) {
  Worker worker;
  worker.next.Respond(Stream({After(Seconds(1), kToken), After(Seconds(1), kDone)}));
  FilterRun run(worker.loop, worker.gate, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(1));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.request.executed, http::Executed::kNo);
}

}  // namespace
}  // namespace outrigger::common
