// The client leaves wherever a request can be waiting (semantics TO-7, style "Coroutines"): soon
// nothing is left of it. The real driver and all five filters, on a fake clock.
//
// Each scenario runs again and again; in run n one client leaves after n half milliseconds, so that
// every wait between the head of the request and the end of the answer is cut once, both from a
// timer in the middle of a loop's turn (what was deferred has not run yet) and between two turns.
// The scenarios together wait at every `co_await` of proxy/chain and filters; those of the router
// and the sockets are left in tests/integration/test_client_gone.py.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "tests/proxy/chain/driver_world.h"

namespace outrigger::chain {
namespace {

using absl::Milliseconds;

const std::pair<std::string, std::string> kEventStream{"Content-Type", "text/event-stream"};
const std::pair<std::string, std::string> kKey{"Idempotency-Key", "k"};
const std::pair<std::string, std::string> kJson{"Content-Type", "application/json"};

std::string Delta(std::string_view text) {
  return fmt::format("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", text);
}

const std::string kRole = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const std::string kErrorEvent =
    "data: {\"error\":{\"type\":\"server_error\",\"message\":\"broken\"}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

// Pings and the role alone are held back; then come tokens.
ServiceAnswer Stream() {
  return {.headers = {kEventStream},
          .pieces = {": ping\n\n", kRole, Delta("a"), Delta("b"), Delta("c"), kDone}};
}
ServiceAnswer Unary() { return {.pieces = {"one ", "two ", "three"}}; }
ServiceAnswer Unavailable() { return {.status = 503, .pieces = {"later"}}; }
ServiceAnswer Unreachable() {
  return {.failure =
              http::Failure{.reason = http::Reason::kConnectFail, .phase = http::Phase::kConnect}};
}

// All five filters, each with something to wait for or to hold.
std::string Filters(std::string_view idempotency = "{}", std::string_view breaker = "{}") {
  return fmt::format(R"(
filters:
  - idempotency: {}
  - rate_limit: {{rules: [{{name: paced, algorithm: leaky_bucket, rate: 250/s, burst: 50}}]}}
  - retry: {{backoff: {{kind: fixed, base: 3ms, cap: 3ms}}}}
  - breaker: {}
  - timeout: {{per_try: 5s, ttft: 6s, inter_token: 7s, overall: 8s, max_stream: 9s}}
)",
                     idempotency, breaker);
}

struct Client {
  FakeRequest request;
  absl::Duration starts = absl::ZeroDuration();
};

struct Scenario {
  std::string name;
  std::vector<Client> clients;
  std::vector<ServiceAnswer> answers;
  std::string filters = Filters();
  // Before the clients come.
  std::function<void(DriverWorld&)> prepare = [](DriverWorld&) {};
  // What a client that stays to the end gets, if not 200.
  int other_status = 200;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

FakeRequest Plain() { return {.headers = {kJson}, .pieces = {"{", "}"}}; }
FakeRequest Keyed() { return {.headers = {kJson, kKey}, .pieces = {"{", "}"}}; }
FakeRequest KeyedWhole() { return {.headers = {kJson, kKey}, .pieces = {"{}"}, .is_whole = true}; }
FakeRequest NotTaking(FakeRequest request) {
  request.takes = false;
  return request;
}

// A request to its end.
void Complete(DriverWorld& world, FakeRequest request, int status) {
  FakeExchange exchange(world, std::move(request));
  exchange.Start();
  for (int i = 0; i < 100 && !exchange.stream.is_over(); ++i) world.loop.Advance(Milliseconds(1));
  EXPECT_EQ(exchange.stream.status(), status);
}

std::vector<Scenario> Scenarios() {
  std::vector<Scenario> all;
  struct Kind {
    const char* name;
    ServiceAnswer answer;
  };
  for (const Kind& kind : {Kind{"Unary", Unary()}, Kind{"Stream", Stream()}}) {
    const std::string name = kind.name;
    const ServiceAnswer& answer = kind.answer;
    for (const bool is_keyed : {false, true}) {
      const FakeRequest request = is_keyed ? Keyed() : Plain();
      const std::string suffix = name + (is_keyed ? "Keyed" : "Plain");
      all.push_back({.name = "Answered" + suffix, .clients = {{request}}, .answers = {answer}});
      all.push_back({.name = "SentAgain" + suffix,
                     .clients = {{request}},
                     .answers = {Unavailable(), Unreachable(), answer}});
      all.push_back(
          {.name = "NotTaken" + suffix, .clients = {{NotTaking(request)}}, .answers = {answer}});
      all.push_back(
          {.name = "Probe" + suffix,
           .clients = {{request}},
           .answers = {{.status = 500, .pieces = {"x"}}, answer},
           .filters = Filters("{}", "{consecutive: 1, open_for: 10ms, successes_to_close: 1}"),
           .prepare = [](DriverWorld& world) {
             Complete(world, {.headers = {{"x-stainless-retry-count", "1"}}}, 503);
             world.loop.Advance(absl::Seconds(1));
           }});
      all.push_back({.name = "Paced" + suffix,
                     .clients = {{request, Milliseconds(1)}, {Plain()}},
                     .answers = {answer, answer}});
      FakeRequest hasty = request;
      hasty.headers.emplace_back("x-request-timeout-ms", "4000");
      all.push_back(
          {.name = "WithItsOwnDeadline" + suffix, .clients = {{hasty}}, .answers = {answer}});
    }
    all.push_back({.name = "InMemory" + name, .clients = {{KeyedWhole()}}, .answers = {answer}});
    all.push_back({.name = "CancelledByItsOwner" + name,
                   .clients = {{Keyed()}},
                   .answers = {answer},
                   .filters = Filters("{on_owner_disconnect: cancel}")});
    all.push_back({.name = "Joined" + name,
                   .clients = {{KeyedWhole()}, {Keyed(), Milliseconds(1)}, {NotTaking(Keyed())}},
                   .answers = {answer}});
    FakeRequest slow = Keyed();
    slow.pieces = {"{", " ", " ", " ", " ", "}"};
    FakeRequest same = KeyedWhole();
    same.pieces = {"{    }"};
    all.push_back({.name = "JoinedBeforeTheFirstBodyIsKnown" + name,
                   .clients = {{slow}, {same, Milliseconds(1)}},
                   .answers = {answer},
                   // Without the rest of the first body nobody can say whether it was the same.
                   .other_status = 409});
    all.push_back({.name = "WaitingForTheFirst" + name,
                   .clients = {{KeyedWhole()}, {KeyedWhole(), Milliseconds(1)}},
                   .answers = {answer},
                   .filters = Filters("{in_flight: {wait: 4s}}")});
    all.push_back({.name = "Replayed" + name,
                   .clients = {{Keyed()}, {NotTaking(Keyed()), Milliseconds(3)}},
                   .answers = {answer},
                   .prepare = [](DriverWorld& world) { Complete(world, KeyedWhole(), 200); }});
  }
  all.push_back(
      {.name = "ErrorEventSentAgain",
       .clients = {{Plain()}},
       .answers = {{.headers = {kEventStream}, .pieces = {kRole, kErrorEvent}}, Stream()}});
  // More than may be kept: whoever takes nothing holds up the execution (WaitForRoom).
  const ServiceAnswer big{.pieces = std::vector<std::string>(12, std::string(64 << 10, 'x'))};
  all.push_back({.name = "TooBigToKeep",
                 .clients = {{NotTaking(KeyedWhole())}, {KeyedWhole(), Milliseconds(1)}},
                 .answers = {big},
                 .filters = Filters("{max_body: 64KiB}")});
  return all;
}

class ClientGone : public testing::TestWithParam<Scenario> {
 protected:
  enum class Moment { kInTheTurn, kBetweenTurns };

  // Calls `leave` when its time has come, before or after other timers of that time.
  class LeaveTimer final : public Timer {
   public:
    LeaveTimer(Loop& loop, std::function<void()> leave) : Timer(loop), leave_(std::move(leave)) {}

   private:
    void OnTimer() override { leave_(); }
    const std::function<void()> leave_;
  };

  // True when the client `who` had got its whole answer before it could leave.
  bool Run(size_t who, absl::Duration leaves_after, Moment moment) {
    const Scenario& scenario = GetParam();
    DriverWorld world(scenario.filters);
    for (const ServiceAnswer& answer : scenario.answers) world.service.Answer(answer);
    world.service.AnswerAlways({.pieces = {"again"}});
    const long blocks_before = LivePooledBlocks();
    scenario.prepare(world);
    world.loop.RunPending();
    const size_t begun_before = world.AccessLog().size();

    bool was_over = false;
    {
      std::vector<std::unique_ptr<FakeExchange>> exchanges;
      for (const Client& client : scenario.clients) {
        exchanges.push_back(std::make_unique<FakeExchange>(world, client.request));
      }
      FakeExchange& leaver = *exchanges[who];
      LeaveTimer leave(world.loop, [&] {
        was_over = leaver.stream.is_over();
        leaver.Leave();
      });
      const MonoTime begin = world.loop.Now();
      const MonoTime leave_at = begin + scenario.clients[who].starts + leaves_after;
      const absl::Duration step = absl::Microseconds(500);
      for (absl::Duration at; at < Milliseconds(60); at += step) {
        for (size_t i = 0; i < exchanges.size(); ++i) {
          if (scenario.clients[i].starts != at) continue;
          exchanges[i]->Start();
          if (i == who && moment == Moment::kInTheTurn) leave.Arm(leave_at);
        }
        world.loop.Advance(absl::ZeroDuration());
        if (moment == Moment::kBetweenTurns && begin + at == leave_at) {
          was_over = leaver.stream.is_over();
          leaver.Leave();
        }
        // Those who have not read so far begin to.
        if (at == Milliseconds(25)) {
          for (auto& exchange : exchanges) exchange->stream.SetTaking(true);
        }
        world.loop.Advance(step);
      }
      EXPECT_FALSE(leaver.has_driver());
      for (size_t i = 0; i < exchanges.size(); ++i) {
        if (i != who) ExpectServed(*exchanges[i]);
        exchanges[i]->End();
      }
    }
    ExpectNothingRuns(world);
    // A key's execution goes on without readers for as long as this.
    world.loop.Advance(absl::Seconds(120));
    ExpectNothingHeld(world);
    ExpectLogged(world, begun_before, was_over);
    Complete(world, {}, 200);
    world.loop.Advance(absl::Hours(2));
    world.shared.keys().Sweep(world.loop.Now(), 1000);
    EXPECT_EQ(world.shared.memory().used_bytes(), 0u);
    EXPECT_EQ(world.loop.armed_timers(), 0u);
    EXPECT_EQ(LivePooledBlocks(), blocks_before);
    return was_over;
  }

 private:
  static void ExpectServed(const FakeExchange& exchange) {
    EXPECT_TRUE(exchange.stream.is_over());
    EXPECT_FALSE(exchange.stream.is_aborted());
    EXPECT_THAT(exchange.stream.status(), testing::AnyOf(200, GetParam().other_status));
  }

  // Of streams, and of requests without a key.
  static void ExpectNothingRuns(DriverWorld& world) {
    world.loop.RunPending();
    EXPECT_EQ(world.active_requests, 0);
    EXPECT_EQ(world.InFlight(), 0);
    EXPECT_EQ(static_cast<size_t>(world.service.live_connections()), world.executions.running());
    EXPECT_EQ(world.shared.ReplayPool(size_t{16} << 20)->used_bytes(), 0u);
  }

  static void ExpectNothingHeld(DriverWorld& world) {
    EXPECT_EQ(world.executions.running(), 0u);
    EXPECT_EQ(world.shared.detached_executions().count(), 0u);
    EXPECT_EQ(world.service.live_connections(), 0);
    for (const int seconds : {5, 6, 7, 8, 9}) {
      EXPECT_TRUE(world.timeouts.For(absl::Seconds(seconds)).empty()) << seconds << " s";
    }
    const idempotency::TableStats stats = world.shared.keys().Stats();
    EXPECT_EQ(stats.keys[static_cast<size_t>(idempotency::State::kReserved)], 0u);
    EXPECT_EQ(stats.keys[static_cast<size_t>(idempotency::State::kExecuting)], 0u);
  }

  // One line and one count for each client.
  static void ExpectLogged(DriverWorld& world, size_t begun_before, bool was_over) {
    const std::vector<nlohmann::json> lines = world.AccessLog();
    EXPECT_EQ(lines.size(), begun_before + GetParam().clients.size());
    size_t gone = 0;
    for (const nlohmann::json& line : lines) gone += line.value("outcome", "") == "client_gone";
    EXPECT_EQ(gone, was_over ? 0u : 1u);
  }
};

TEST_P(ClientGone, LeavesNothingBehind) {
  for (size_t who = 0; who < GetParam().clients.size(); ++who) {
    for (const Moment moment : {Moment::kInTheTurn, Moment::kBetweenTurns}) {
      int waits = 0;
      for (bool was_over = false; !was_over && !HasFailure(); ++waits) {
        const absl::Duration after = absl::Microseconds(500) * waits;
        SCOPED_TRACE(fmt::format("client {} leaves after {}, {}", who, absl::FormatDuration(after),
                                 moment == Moment::kInTheTurn ? "in a turn" : "between turns"));
        was_over = Run(who, after, moment);
        ASSERT_LT(waits, 110) << "the answer never ends";
      }
      EXPECT_GT(waits, 4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(At, ClientGone, testing::ValuesIn(Scenarios()),
                         [](const auto& scenario) { return scenario.param.name; });

}  // namespace
}  // namespace outrigger::chain
