#include "filters/breaker/breaker_filter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/proxy/metrics/scrape.h"
#include "tests/support/fake_loop.h"
#include "tests/support/scripted_next.h"

namespace outrigger::breaker {
namespace {

using http::Failure;
using http::Phase;
using http::Reason;
using http::StreamOutcome;

// Stands for the commit gate: makes the response a stream whose every chunk is a content event, but
// for those that begin with ':'.
class StreamingNext final : public chain::Filter {
 public:
  explicit StreamingNext(Loop& loop, chain::Filter& inner) : loop_(loop), inner_(inner) {}

  // Before the head is passed on.
  http::StreamState at_head;
  http::StreamError stream_error = http::StreamError::kNone;
  bool ends_complete = true;

  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    http::Result result = co_await inner_.Call(request, next);
    if (!result.ok()) co_return result;
    auto body = std::make_unique<Stream>(loop_, std::move(result->body), at_head, ends_complete);
    if (stream_error == http::StreamError::kNone) {
      result->stream = &body->state;
    } else {
      result->stream_error = stream_error;
    }
    result->body = std::move(body);
    co_return result;
  }

 private:
  struct Stream final : http::Body {
    Stream(Loop& of, std::unique_ptr<http::Body> from, const http::StreamState& start, bool ends)
        : loop(of), inner(std::move(from)), state(start), ends_complete(ends) {}
    Task<http::ChunkResult> Read() override {
      http::ChunkResult chunk = co_await inner->Read();
      if (chunk.ok() && !chunk->data.empty() && !chunk->data.starts_with(':')) {
        if (state.content_events++ == 0) state.first_content = loop.PreciseNow();
      }
      if (chunk.ok() && chunk->is_last) state.is_complete = ends_complete;
      co_return chunk;
    }
    Loop& loop;
    std::unique_ptr<http::Body> inner;
    http::StreamState state;
    const bool ends_complete;
  };

  Loop& loop_;
  chain::Filter& inner_;
};

class BreakerFilterTest : public testing::Test {
 protected:
  BreakerFilterTest()
      : sink_(open("/dev/null", O_WRONLY)), logs_({.fd = sink_}), log_(logs_.NewLogger()) {
    policy_.consecutive = 3;
    policy_.slow.ttft = absl::Seconds(2);
    policy_.min_requests = 4;
    options_.slow_ttft = policy_.slow.ttft;
  }
  ~BreakerFilterTest() override {
    filter_.reset();
    close(sink_);
  }

  BreakerFilter& Filter() {
    if (breaker_ == nullptr) breaker_ = Breaker::Create("app/chat", policy_, 1, loop_.Now());
    if (filter_ == nullptr) {
      filter_ = std::make_unique<BreakerFilter>(
          BreakerFilter::Parts{
              .loop = loop_, .log = log_, .metrics = worker_, .counters = counters_},
          breaker_, options_);
    }
    return *filter_;
  }
  Snapshot Look() {
    Filter();
    return breaker_->TakeSnapshot(loop_.Now());
  }
  std::unique_ptr<FilterRun> Send(std::string_view tenant = "anonymous") {
    auto run = is_stream_ ? std::make_unique<FilterRun>(loop_, Filter(), streaming_)
                          : std::make_unique<FilterRun>(loop_, Filter(), next_);
    run->request.tenant = tenant;
    run->Start();
    return run;
  }
  void Fail(int times) {
    for (int i = 0; i < times; ++i) {
      next_.Fail({.reason = Reason::kConnectFail, .phase = Phase::kConnect});
      Send();
    }
  }
  void Open() {
    Fail(policy_.consecutive);
    ASSERT_EQ(Look().state, State::kOpen);
  }
  void LetProbesThrough() { loop_.Advance(Look().until_probe); }
  // One response, read to its end or failure, and ended with `outcome`.
  void Exchange(ScriptedResponse response, StreamOutcome outcome) {
    next_.Respond(std::move(response));
    const auto run = Send();
    loop_.Advance(absl::Minutes(1));
    ASSERT_TRUE(run->is_done() && run->result().ok());
    run->StartReading();
    loop_.Advance(absl::Minutes(1));
    ASSERT_TRUE(run->is_read());
    run->result()->EndStream(outcome);
    run->Drop();
    ExpectNothingLeft();
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(loop_.armed_timers(), 0u);
    EXPECT_EQ(next_.live_calls(), 0);
    EXPECT_EQ(next_.live_bodies(), 0);
  }
  std::optional<double> Refusals(const std::string& reason, const std::string& mode) {
    return metrics::CounterValue(registry_, "outrigger_breaker_refusals_total",
                                 {"app/chat", reason, mode});
  }
  static Failure CutBody() {
    return {
        .reason = Reason::kUpstreamReset, .phase = Phase::kBody, .executed = http::Executed::kYes};
  }
  void UseGate() {
    options_.throttle = {
        .gate = &gate_,
        .scope = [](const http::Request& request) { return uint64_t{request.tenant.size()}; },
        .asked_wait =
            [](const http::Response& response) {
              return response.headers.Has(http::HeaderId::kRetryAfter) ? absl::Seconds(7)
                                                                       : absl::ZeroDuration();
            }};
  }

  FakeLoop loop_;
  const int sink_;
  log::LogService logs_;
  log::Logger& log_;
  metrics::Registry registry_;
  metrics::WorkerMetrics& worker_ = registry_.AddWorker();
  metrics::BreakerMetrics counters_{registry_, "app/chat"};
  ScriptedNext next_{loop_};
  StreamingNext streaming_{loop_, next_};
  bool is_stream_ = false;
  ThrottleGate gate_;
  Policy policy_;
  BreakerFilter::Options options_;
  std::shared_ptr<Breaker> breaker_;
  std::unique_ptr<BreakerFilter> filter_;
};

TEST_F(BreakerFilterTest, PassesHeadAndBodyAndCountsASuccess) {
  next_.Respond({.status = 200, .body = {{"a"}, {"b", absl::Seconds(1)}}});
  const auto run = Send();
  ASSERT_TRUE(run->is_done() && run->result().ok());
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 0, .timed = 1, .slow = 0}));
  run->StartReading();
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(run->body(), "ab");
  run->result()->EndStream(StreamOutcome::kComplete);
  EXPECT_EQ(Look().counts.failures, 0);
}

TEST_F(BreakerFilterTest, AnswersWithTheTimeToTheNextProbeWhileOpen) {
  Open();
  const int calls = next_.calls();
  const auto run = Send();
  ASSERT_TRUE(run->is_done());
  ASSERT_FALSE(run->result().ok());
  const Failure& failure = run->result().error();
  EXPECT_EQ(failure.reason, Reason::kBreakerOpen);
  EXPECT_EQ(failure.phase, Phase::kLocal);
  EXPECT_EQ(failure.executed, http::Executed::kNo);
  EXPECT_EQ(failure.retry_after, Look().until_probe);
  EXPECT_GT(failure.retry_after, absl::Seconds(3));
  EXPECT_EQ(next_.calls(), calls);
  // Who waits as long as asked gets through.
  loop_.Advance(failure.retry_after);
  EXPECT_TRUE(Send()->result().ok());
}

TEST_F(BreakerFilterTest, ClosesAfterGoodProbesOneAtATime) {
  Open();
  LetProbesThrough();
  next_.Respond({.status = 200, .delay = absl::Seconds(1)});
  const auto probe = Send();
  EXPECT_FALSE(probe->is_done());
  const auto second = Send();
  ASSERT_TRUE(second->is_done());
  EXPECT_EQ(second->result().error().reason, Reason::kBreakerOpen);
  loop_.Advance(absl::Seconds(1));
  EXPECT_TRUE(probe->result().ok());
  for (int i = 1; i < policy_.successes_to_close; ++i) {
    EXPECT_EQ(Look().state, State::kHalfOpen);
    EXPECT_TRUE(Send()->result().ok());
  }
  EXPECT_EQ(Look().state, State::kClosed);
}

TEST_F(BreakerFilterTest, FailedProbeOpensAgain) {
  Open();
  LetProbesThrough();
  Fail(1);
  EXPECT_EQ(Look().state, State::kOpen);
}

TEST_F(BreakerFilterTest, JudgesStatusesByTheSharedTable) {
  struct Case {
    int status;
    int64_t samples;
    int64_t failures;
  };
  for (const Case& c : {Case{200, 1, 0}, Case{404, 1, 0}, Case{401, 1, 0}, Case{408, 0, 0},
                        Case{429, 0, 0}, Case{529, 0, 0}, Case{500, 1, 1}, Case{503, 1, 1}}) {
    SCOPED_TRACE(c.status);
    breaker_.reset();
    filter_.reset();
    next_.Respond({.status = c.status});
    Send();
    EXPECT_EQ(Look().counts.samples, c.samples);
    EXPECT_EQ(Look().counts.failures, c.failures);
  }
}

TEST_F(BreakerFilterTest, OwnRefusalsInsideAreNotCounted) {
  next_.Fail({.reason = Reason::kConcurrency, .phase = Phase::kLocal});
  Send();
  EXPECT_EQ(Look().counts, Counts{});
}

TEST_F(BreakerFilterTest, OwnRefusalOfAProbeFreesItsPlace) {
  Open();
  LetProbesThrough();
  next_.Fail({.reason = Reason::kConcurrency, .phase = Phase::kLocal});
  Send();
  EXPECT_EQ(Look().state, State::kHalfOpen);
  EXPECT_FALSE(Look().probe_under_way);
}

TEST_F(BreakerFilterTest, LateHeadIsSlow) {
  next_.Respond({.status = 200, .delay = absl::Seconds(2) + absl::Nanoseconds(1)});
  next_.Respond({.status = 200, .delay = absl::Seconds(2)});
  for (int i = 0; i < 2; ++i) {
    const auto run = Send();
    loop_.Advance(absl::Seconds(3));
    ASSERT_TRUE(run->is_done());
  }
  EXPECT_EQ(Look().counts, (Counts{.samples = 2, .failures = 0, .timed = 2, .slow = 1}));
}

TEST_F(BreakerFilterTest, TimeoutIsAFailureAndSlow) {
  next_.Fail({.reason = Reason::kPerTryTimeout,
              .phase = Phase::kAwaitingHead,
              .executed = http::Executed::kMaybe},
             absl::Seconds(1));
  const auto run = Send();
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 1, .timed = 1, .slow = 1}));
}

TEST_F(BreakerFilterTest, BodyThatIsCutAddsAFailureOnce) {
  Exchange({.status = 200, .body = {{"a"}, {.failure = CutBody()}}}, StreamOutcome::kCut);
  // The success of its head was a minute ago.
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 1, .timed = 0, .slow = 0}));
  EXPECT_EQ(Look().consecutive, 1);
}

TEST_F(BreakerFilterTest, EveryBadEndOfABodyCountsAndTheClientsLeavingDoesNot) {
  for (const auto& [outcome, failures] :
       {std::pair{StreamOutcome::kComplete, 0}, std::pair{StreamOutcome::kErrorEvent, 1},
        std::pair{StreamOutcome::kCut, 1}, std::pair{StreamOutcome::kStall, 1},
        std::pair{StreamOutcome::kClientGone, 0}}) {
    SCOPED_TRACE(static_cast<int>(outcome));
    breaker_.reset();
    filter_.reset();
    next_.Respond({.status = 200, .body = {{"a"}}, .ends = false});
    const auto run = Send();
    ASSERT_TRUE(run->result().ok());
    run->result()->EndStream(outcome);
    EXPECT_EQ(Look().counts.failures, failures);
    EXPECT_EQ(Look().consecutive, failures);
  }
}

TEST_F(BreakerFilterTest, BodyOfAFailedAnswerIsNotCountedTwice) {
  Exchange({.status = 500, .body = {{"a"}, {.failure = CutBody()}}}, StreamOutcome::kCut);
  EXPECT_EQ(Look().consecutive, 1);
}

TEST_F(BreakerFilterTest, ClientThatLeavesEarlyCountsNothing) {
  next_.Hang();
  const long before = LivePooledBlocks();
  auto run = Send();
  loop_.Advance(absl::Seconds(2));
  run->Drop();
  run.reset();
  EXPECT_EQ(Look().counts, Counts{});
  EXPECT_EQ(LivePooledBlocks(), before);
  ExpectNothingLeft();
}

TEST_F(BreakerFilterTest, ClientThatLeavesAfterALongWaitIsASlowSample) {
  next_.Hang();
  auto run = Send();
  loop_.Advance(absl::Seconds(3));
  run->Drop();
  EXPECT_EQ(Look().counts, (Counts{.samples = 0, .failures = 0, .timed = 1, .slow = 1}));
  ExpectNothingLeft();
}

TEST_F(BreakerFilterTest, HungServiceWithImpatientClientsOpens) {
  for (int i = 0; i < policy_.min_requests; ++i) next_.Hang();
  for (int i = 0; i < policy_.min_requests; ++i) {
    auto run = Send();
    loop_.Advance(absl::Milliseconds(2100));
    run->Drop();
  }
  EXPECT_EQ(Look().state, State::kOpen);
  EXPECT_EQ(Look().transitions[static_cast<size_t>(Cause::kSlowRatio)], 1u);
}

TEST_F(BreakerFilterTest, RoutesDeadlineIsAFailureEvenBeforeItWouldBeSlow) {
  options_.overall_timeout = absl::Seconds(1);
  next_.Hang();
  FilterRun run(loop_, Filter(), next_);
  run.request.deadline = loop_.Now() + absl::Seconds(1);
  run.Start();
  loop_.Advance(absl::Seconds(1));
  run.Drop();  // what the driver does
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 1, .timed = 1, .slow = 1}));
}

TEST_F(BreakerFilterTest, CallersOwnShorterDeadlineIsNoFailure) {
  options_.overall_timeout = absl::Seconds(300);
  next_.Hang();
  FilterRun run(loop_, Filter(), next_);
  run.request.deadline = loop_.Now() + absl::Milliseconds(1);
  run.Start();
  loop_.Advance(absl::Milliseconds(1));
  run.Drop();
  EXPECT_EQ(Look().counts, Counts{});
}

TEST_F(BreakerFilterTest, ProbeWhoseClientLeavesFreesItsPlace) {
  Open();
  LetProbesThrough();
  next_.Hang();
  auto run = Send();
  EXPECT_TRUE(Look().probe_under_way);
  run->Drop();
  EXPECT_FALSE(Look().probe_under_way);
  EXPECT_EQ(Look().state, State::kHalfOpen);
}

TEST_F(BreakerFilterTest, StreamIsJudgedByItsFirstContent) {
  is_stream_ = true;
  streaming_.at_head.content_events = 1;
  streaming_.at_head.first_content = loop_.Now() + absl::Seconds(1);
  // The head was held back for longer than the content took.
  next_.Respond({.status = 200, .body = {{"x"}}, .delay = absl::Seconds(5)});
  const auto run = Send();
  loop_.Advance(absl::Seconds(5));
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 0, .timed = 1, .slow = 0}));
}

TEST_F(BreakerFilterTest, StreamWithoutContentAtItsHeadIsJudgedWhenContentComes) {
  is_stream_ = true;
  next_.Respond({.status = 200,
                 .body = {{":ping", absl::Seconds(1)}, {"x", absl::Seconds(3)}},
                 .ends = false});
  const auto run = Send();
  ASSERT_TRUE(run->is_done());
  EXPECT_EQ(Look().counts, Counts{});
  run->StartReading();
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(Look().counts, Counts{});
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 0, .timed = 1, .slow = 1}));
  run->result()->EndStream(StreamOutcome::kCut);
  EXPECT_EQ(Look().counts.failures, 1);
  run->Drop();
  ExpectNothingLeft();
}

TEST_F(BreakerFilterTest, StreamThatFailsBeforeAnyContentIsOneFailure) {
  is_stream_ = true;
  next_.Respond({.status = 200, .body = {{":ping"}, {.failure = CutBody()}}});
  const auto run = Send();
  run->StartReading();
  ASSERT_TRUE(run->is_read());
  run->result()->EndStream(StreamOutcome::kCut);
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 1, .timed = 1, .slow = 0}));
}

TEST_F(BreakerFilterTest, StreamThatEndsWithoutContentOrTerminalIsAFailure) {
  is_stream_ = true;
  for (const bool ends_complete : {true, false}) {
    streaming_.ends_complete = ends_complete;
    breaker_.reset();
    filter_.reset();
    next_.Respond({.status = 200, .body = {{":ping"}}});
    const auto run = Send();
    run->StartReading();
    ASSERT_TRUE(run->is_read());
    run->result()->EndStream(ends_complete ? StreamOutcome::kComplete : StreamOutcome::kCut);
    EXPECT_EQ(Look().counts.samples, 1);
    EXPECT_EQ(Look().counts.failures, ends_complete ? 0 : 1);
  }
}

TEST_F(BreakerFilterTest, ClientThatLeavesASilentStreamIsASlowSample) {
  is_stream_ = true;
  const long before = LivePooledBlocks();
  next_.Respond({.status = 200, .body = {{":ping"}}, .ends = false});
  auto run = Send();
  run->StartReading();
  loop_.Advance(absl::Seconds(3));
  run->Drop();
  run.reset();
  EXPECT_EQ(Look().counts, (Counts{.samples = 0, .failures = 0, .timed = 1, .slow = 1}));
  EXPECT_EQ(LivePooledBlocks(), before);
  ExpectNothingLeft();
}

TEST_F(BreakerFilterTest, SilentStreamThatATimerEndsIsAFailure) {
  is_stream_ = true;
  next_.Respond({.status = 200, .body = {{":ping"}}, .ends = false});
  const auto run = Send();
  loop_.Advance(absl::Seconds(3));
  run->result()->EndStream(StreamOutcome::kStall);
  EXPECT_EQ(Look().counts, (Counts{.samples = 1, .failures = 1, .timed = 1, .slow = 1}));
}

TEST_F(BreakerFilterTest, ErrorEventBeforeContentIsJudgedByItsKind) {
  is_stream_ = true;
  for (const auto& [error, samples, failures] : {std::tuple{http::StreamError::kThrottled, 0, 0},
                                                 std::tuple{http::StreamError::kServer, 1, 1},
                                                 std::tuple{http::StreamError::kInvalid, 1, 0}}) {
    SCOPED_TRACE(static_cast<int>(error));
    breaker_.reset();
    filter_.reset();
    streaming_.stream_error = error;
    next_.Respond({.status = 503, .body = {{"{}"}}});
    Send();
    EXPECT_EQ(Look().counts.samples, samples);
    EXPECT_EQ(Look().counts.failures, failures);
  }
}

TEST_F(BreakerFilterTest, ProbeStreamIsGoodAtItsFirstContentAndLateCutsCountInTheWindow) {
  policy_.successes_to_close = 1;
  Open();
  LetProbesThrough();
  is_stream_ = true;
  next_.Respond({.status = 200, .body = {{"x"}}, .ends = false});
  const auto run = Send();
  EXPECT_EQ(Look().state, State::kHalfOpen);
  run->StartReading();
  EXPECT_EQ(Look().state, State::kClosed);
  run->result()->EndStream(StreamOutcome::kCut);
  EXPECT_EQ(Look().state, State::kClosed);
  EXPECT_EQ(Look().counts.failures, 1);
}

TEST_F(BreakerFilterTest, ShadowRefusesNothingAndStillGoesThroughItsStates) {
  options_.mode = Mode::kShadow;
  Open();
  const int calls = next_.calls();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Send()->result().ok());
  EXPECT_EQ(next_.calls(), calls + 5);
  EXPECT_EQ(Refusals("breaker_open", "shadow"), 5);
  EXPECT_EQ(Refusals("breaker_open", "enforce"), std::nullopt);
  EXPECT_EQ(Look().state, State::kOpen);
  LetProbesThrough();
  for (int i = 0; i < policy_.successes_to_close; ++i) EXPECT_TRUE(Send()->result().ok());
  EXPECT_EQ(Look().state, State::kClosed);
}

TEST_F(BreakerFilterTest, GateHoldsTheScopeBackForAsLongAsTheAnswerAsked) {
  UseGate();
  next_.Respond({.status = 429, .headers = {{"Retry-After", "7"}}});
  EXPECT_EQ(Send("alice")->result()->status, 429);
  const auto run = Send("alice");
  ASSERT_FALSE(run->result().ok());
  EXPECT_EQ(run->result().error().reason, Reason::kThrottled);
  EXPECT_EQ(run->result().error().retry_after, absl::Seconds(7));
  EXPECT_TRUE(Send("bob")->result().ok());
  loop_.Advance(absl::Seconds(7));
  EXPECT_TRUE(Send("alice")->result().ok());
  EXPECT_EQ(Look().state, State::kClosed);
  EXPECT_EQ(Look().counts.failures, 0);
}

TEST_F(BreakerFilterTest, GateHoldsNothingWithoutAWait) {
  UseGate();
  next_.Respond({.status = 429});
  Send("alice");
  EXPECT_TRUE(Send("alice")->result().ok());
}

TEST_F(BreakerFilterTest, ShadowGateHoldsNothingBack) {
  UseGate();
  options_.mode = Mode::kShadow;
  next_.Respond({.status = 429, .headers = {{"Retry-After", "7"}}});
  Send("alice");
  EXPECT_TRUE(Send("alice")->result().ok());
  EXPECT_EQ(Refusals("throttled", "shadow"), 1);
}

TEST_F(BreakerFilterTest, CountsEveryAttemptThatItRefuses) {
  UseGate();
  Open();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Send()->result().ok());
  EXPECT_EQ(Refusals("breaker_open", "enforce"), 3);
  LetProbesThrough();
  next_.Respond({.status = 429, .headers = {{"Retry-After", "7"}}});
  EXPECT_EQ(Send("alice")->result()->status, 429);
  EXPECT_FALSE(Send("alice")->result().ok());
  EXPECT_EQ(Refusals("throttled", "enforce"), 1);
  EXPECT_EQ(Refusals("breaker_open", "enforce"), 3);
}

TEST_F(BreakerFilterTest, NewFilterOnTheSameBreakerFindsItAsItIs) {
  Open();
  filter_.reset();  // a new configuration makes a new filter
  EXPECT_EQ(Send()->result().error().reason, Reason::kBreakerOpen);
}

TEST_F(BreakerFilterTest, LeavesNoBlockBehind) {
  const long before = LivePooledBlocks();
  for (int i = 0; i < 100; ++i) {
    next_.Respond({.status = 200, .body = {{"a"}, {"b"}}});
    const auto run = Send();
    run->StartReading();
    ASSERT_TRUE(run->is_read());
    run->result()->EndStream(StreamOutcome::kComplete);
  }
  EXPECT_EQ(LivePooledBlocks(), before);
}

}  // namespace
}  // namespace outrigger::breaker
