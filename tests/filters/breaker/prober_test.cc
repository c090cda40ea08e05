#include "filters/breaker/prober.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
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

// Passes requests on to the script and keeps what they were.
class Service final : public chain::Filter {
 public:
  struct Seen {
    std::string target;
    std::string user_agent;
    size_t traceparent_bytes;
    absl::Duration timeout;
  };

  Service(Loop& loop, chain::Filter& script, std::vector<Seen>& seen)
      : loop_(loop), script_(script), seen_(seen) {}

  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    EXPECT_EQ(request.method_name, "GET");
    EXPECT_FALSE(request.id.empty());
    seen_.push_back({std::string(request.target),
                     std::string(request.headers.Get("user-agent").value_or("")),
                     request.traceparent.size(), request.deadline - loop_.Now()});
    return script_.Call(request, next);
  }

 private:
  Loop& loop_;
  chain::Filter& script_;
  std::vector<Seen>& seen_;
};

class ProberTest : public testing::Test {
 protected:
  ProberTest() : sink_(open("/dev/null", O_WRONLY)), logs_({.fd = sink_}), log_(logs_.NewLogger()) {
    policy_.consecutive = 1;
    policy_.probe = {.path = "/health", .timeout = absl::Seconds(2)};
  }
  ~ProberTest() override {
    probers_.Stop();
    loop_.RunPending();
    EXPECT_EQ(loop_.armed_timers(), 0u);
    EXPECT_EQ(script_.live_calls(), 0);
    EXPECT_EQ(script_.live_bodies(), 0);
    close(sink_);
  }

  void Begin() {
    breaker_ = Breaker::Create("app/chat", policy_, 1, loop_.Now());
    probers_.Add(breaker_, policy_, std::make_unique<Service>(loop_, script_, seen_));
  }
  Snapshot Look() { return breaker_->TakeSnapshot(loop_.Now()); }
  void OpenByFailure() {
    Expected<Permit, Rejection> permit = breaker_->TryAcquire(loop_.Now());
    ASSERT_TRUE(permit.ok());
    permit->Record(Outcome::kFailure, false, loop_.Now());
    ASSERT_EQ(Look().state, State::kOpen);
  }
  // To the moment at which the breaker may be probed.
  void PassOpenTime() { loop_.Advance(Look().until_probe); }
  std::optional<double> Count(const std::string& result) {
    return metrics::CounterValue(registry_, "outrigger_breaker_probes_total", {"app/chat", result});
  }

  FakeLoop loop_;
  Random random_{1};
  const int sink_;
  log::LogService logs_;
  log::Logger& log_;
  metrics::Registry registry_;
  metrics::StandardMetrics standard_{registry_};
  metrics::WorkerMetrics& worker_ = registry_.AddWorker();
  ScriptedNext script_{loop_};
  std::vector<Service::Seen> seen_;
  Policy policy_;
  std::shared_ptr<Breaker> breaker_;
  Probers probers_{loop_, random_, log_, worker_, standard_};
};

TEST_F(ProberTest, SendsNothingWhileTheBreakerIsClosed) {
  Begin();
  loop_.Advance(absl::Hours(1));
  EXPECT_EQ(script_.calls(), 0);
}

TEST_F(ProberTest, AsksThePathWhenTheOpenTimeIsOverAndClosesAfterGoodAnswersInARow) {
  script_.RespondAlways({.status = 204, .delay = absl::Milliseconds(10)});
  Begin();
  loop_.Advance(absl::Minutes(1));
  OpenByFailure();
  const MonoTime due = loop_.Now() + Look().until_probe;
  loop_.Advance(Look().until_probe - absl::Milliseconds(1));
  EXPECT_EQ(script_.calls(), 0);
  loop_.Advance(absl::Milliseconds(1));
  ASSERT_EQ(script_.calls(), 1);
  EXPECT_EQ(script_.call_times()[0], due);
  EXPECT_EQ(seen_[0].target, "/health");
  EXPECT_EQ(seen_[0].user_agent, "outrigger-breaker-probe");
  EXPECT_EQ(seen_[0].traceparent_bytes, 55u);
  EXPECT_EQ(seen_[0].timeout, policy_.probe.timeout);
  // Clients are kept out until it is closed, which takes as many round trips as it needs successes.
  EXPECT_EQ(Look().state, State::kHalfOpen);
  EXPECT_FALSE(breaker_->TryAcquire(loop_.Now()).ok());
  loop_.Advance(policy_.successes_to_close * absl::Milliseconds(10));
  EXPECT_EQ(Look().state, State::kClosed);
  EXPECT_EQ(script_.calls(), policy_.successes_to_close);
  EXPECT_EQ(Count("succeeded"), policy_.successes_to_close);
  loop_.Advance(absl::Hours(1));
  EXPECT_EQ(script_.calls(), policy_.successes_to_close);
}

TEST_F(ProberTest, BadAnswerOpensForLonger) {
  const std::vector<ScriptedResponse> bad = {
      {.status = 500},
      {.status = 429},
      {.status = 404},
      {.status = 101},
      {.status = 200,
       .body = {{.failure = Failure{.reason = Reason::kUpstreamReset, .phase = Phase::kBody}}}}};
  for (const ScriptedResponse& response : bad) script_.Respond(response);
  script_.Fail({.reason = Reason::kConnectFail, .phase = Phase::kConnect});
  policy_.max_open_for = absl::Minutes(10);
  Begin();
  OpenByFailure();
  const int probes = static_cast<int>(bad.size()) + 1;
  for (int i = 1; i <= probes; ++i) {
    PassOpenTime();
    EXPECT_EQ(script_.calls(), i);
    EXPECT_EQ(Look().state, State::kOpen);
    EXPECT_GT(Look().until_probe, policy_.open_for * (1 << i) * 0.79) << i;
  }
  EXPECT_EQ(Count("failed"), probes);
}

TEST_F(ProberTest, ProbeThatOutlivesItsTimeoutIsCutAndHasFailed) {
  script_.Hang();
  Begin();
  OpenByFailure();
  PassOpenTime();
  EXPECT_EQ(script_.live_calls(), 1);
  loop_.Advance(policy_.probe.timeout - absl::Milliseconds(1));
  EXPECT_EQ(Look().state, State::kHalfOpen);
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(Look().state, State::kOpen);
  EXPECT_EQ(script_.live_calls(), 0);
  EXPECT_EQ(Count("failed"), 1);
}

TEST_F(ProberTest, BodyThatNeverEndsIsCutAtTheTimeoutToo) {
  script_.Respond({.status = 200, .body = {{"a"}}, .ends = false});
  Begin();
  OpenByFailure();
  PassOpenTime();
  EXPECT_EQ(script_.live_bodies(), 1);
  loop_.Advance(policy_.probe.timeout);
  EXPECT_EQ(Look().state, State::kOpen);
  EXPECT_EQ(script_.live_bodies(), 0);
}

TEST_F(ProberTest, LongBodyIsNotReadToItsEnd) {
  const std::string piece(40 << 10, 'x');
  script_.Respond({.status = 200, .body = {{piece}, {piece}}, .ends = false});
  Begin();
  OpenByFailure();
  PassOpenTime();
  EXPECT_EQ(script_.live_bodies(), 0);
  EXPECT_EQ(Count("succeeded"), 3);
}

TEST_F(ProberTest, ProbeThatCouldNotBeSentIsNoVerdict) {
  script_.Fail({.reason = Reason::kConcurrency});
  Begin();
  OpenByFailure();
  PassOpenTime();
  EXPECT_EQ(Look().state, State::kHalfOpen);
  EXPECT_FALSE(Look().probe_under_way);
  EXPECT_EQ(script_.calls(), 1);
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(Look().state, State::kClosed);
  EXPECT_EQ(Count("failed"), std::nullopt);
}

TEST_F(ProberTest, StoppedInTheMiddleOfAProbeItLeavesNothing) {
  script_.Hang();
  Begin();
  OpenByFailure();
  PassOpenTime();
  ASSERT_TRUE(Look().probe_under_way);
  probers_.Stop();
  EXPECT_FALSE(Look().probe_under_way);
  EXPECT_EQ(script_.live_calls(), 0);
  loop_.Advance(absl::Hours(1));
  EXPECT_EQ(script_.calls(), 1);
}

TEST_F(ProberTest, ForcedOpenIsNotProbedAndBackToAutomaticItIs) {
  Begin();
  breaker_->SetOverride(Override::kForcedOpen, loop_.Now());
  loop_.Advance(absl::Hours(1));
  EXPECT_EQ(script_.calls(), 0);
  breaker_->SetOverride(Override::kAuto, loop_.Now());
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(Look().state, State::kClosed);
}

TEST_F(ProberTest, BreakerOfSeveralListenersIsProbedOnce) {
  Begin();
  probers_.Add(breaker_, policy_, std::make_unique<Service>(loop_, script_, seen_));
  script_.Hang();
  OpenByFailure();
  PassOpenTime();
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(script_.calls(), 1);
}

TEST_F(ProberTest, ShortOpenTimeIsMetInTime) {
  policy_.open_for = absl::Milliseconds(100);
  Begin();
  for (int i = 0; i < 20; ++i) {
    loop_.Advance(absl::Milliseconds(7));
    const int calls = script_.calls();
    OpenByFailure();
    const MonoTime due = loop_.Now() + Look().until_probe;
    loop_.Advance(policy_.max_open_for);
    ASSERT_GT(script_.calls(), calls);
    EXPECT_EQ(script_.call_times()[static_cast<size_t>(calls)], due);
    ASSERT_EQ(Look().state, State::kClosed);
  }
}

}  // namespace
}  // namespace outrigger::breaker
