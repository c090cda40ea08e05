// gRPC calls through the real driver and the real chain: what their status does, and what their
// callers are told (semantics PR-3, B0.2, B0.3, TO-6).

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/grpc/status.h"
#include "tests/proxy/chain/driver_world.h"

namespace outrigger::chain {
namespace {

using absl::Milliseconds;
using absl::Seconds;

constexpr std::string_view kConfig = R"(
routes:
  - {name: free, match: {prefix: /free}, effects: none}
  - {name: harm, match: {prefix: /harm}}
filters:
  - idempotency: {}
  - retry: {attempts: 2, backoff: {kind: fixed, base: 10ms}, budget: {floor: 1000}}
  - breaker: {consecutive: 3, min_requests: 1000}
  - timeout: {overall: 8s, max_stream: 60s}
)";
const std::pair<std::string, std::string> kGrpc{"content-type", "application/grpc"};

// A head that is all there is.
ServiceAnswer TrailersOnly(int status,
                           std::vector<std::pair<std::string, std::string>> headers = {}) {
  headers.insert(headers.begin(), {kGrpc, {"grpc-status", std::to_string(status)}});
  return {.headers = std::move(headers)};
}
// A head, messages, and the status behind them. `status` is static text.
ServiceAnswer InTrailers(std::string_view status, std::vector<std::string> messages = {""}) {
  return {.headers = {kGrpc}, .pieces = std::move(messages), .trailers = {{"grpc-status", status}}};
}

class GrpcCall : public testing::Test {
 protected:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  FakeExchange& Start(std::string path, Fields headers = {}) {
    exchange_ = std::make_unique<FakeExchange>(world_, FakeRequest{.path = std::move(path),
                                                                   .headers = std::move(headers),
                                                                   .pieces = {"message"},
                                                                   .is_grpc = true});
    exchange_->Start();
    return *exchange_;
  }
  FakeStream& Run(std::string path, Fields headers = {}) {
    Start(std::move(path), std::move(headers));
    world_.loop.Advance(Seconds(5));
    return stream();
  }
  FakeStream& stream() { return exchange_->stream; }
  // As the client sees it, wherever it stands.
  std::string Status() {
    const std::string in_trailers = stream().trailer("grpc-status");
    return in_trailers.empty() ? stream().header("grpc-status") : in_trailers;
  }
  double Calls(const std::string& route, const std::string& code) {
    return world_.Counter("outrigger_grpc_calls_total", {route, code});
  }

  DriverWorld world_{kConfig};
  std::unique_ptr<FakeExchange> exchange_;
};

// B0.2: 14, 8, 4, 13, 2 (and 15, which says the same) may have been executed; the others are
// answers.
TEST_F(GrpcCall, IsTriedAgainByItsStatusAndOnlyWhereThatDoesNoHarm) {
  const int kRetried[] = {2, 4, 8, 13, 14, 15, 77};
  const std::string kStatuses[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",
                                   "9", "10", "11", "12", "13", "14", "15", "16", "77"};
  for (const std::string& status : kStatuses) {
    const int code = std::stoi(status);
    const bool is_retried =
        std::find(std::begin(kRetried), std::end(kRetried), code) != std::end(kRetried);
    for (const bool is_in_trailers : {false, true}) {
      for (const bool is_harmless : {false, true}) {
        SCOPED_TRACE(status + (is_in_trailers ? " in trailers" : "") +
                     (is_harmless ? ", harmless" : ""));
        DriverWorld world(kConfig);
        world.service.AnswerAlways(is_in_trailers ? InTrailers(status) : TrailersOnly(code));
        FakeExchange exchange(
            world,
            {.path = is_harmless ? "/free/x" : "/harm/x", .pieces = {"message"}, .is_grpc = true});
        exchange.Start();
        world.loop.Advance(Seconds(5));
        EXPECT_EQ(world.service.attempts(), is_retried && is_harmless ? 2 : 1);
        EXPECT_EQ(exchange.stream.status(), 200);
        EXPECT_EQ(is_in_trailers ? exchange.stream.trailer("grpc-status")
                                 : exchange.stream.header("grpc-status"),
                  status);
        EXPECT_FALSE(exchange.stream.is_aborted());
      }
    }
  }
}

TEST_F(GrpcCall, IsCountedAndLoggedByItsStatus) {
  const struct {
    std::string_view status, code, code_class;
  } kCases[] = {{"0", "OK", "2xx"},
                {"5", "NOT_FOUND", "4xx"},
                {"14", "UNAVAILABLE", "5xx"},
                {"77", "other", "5xx"}};
  for (const auto& c : kCases) {
    world_.service.Answer(InTrailers(c.status, {"reply"}));
    Run("/harm/x");
    exchange_.reset();
    EXPECT_EQ(Calls("harm", std::string(c.code)), 1) << c.status;
  }
  EXPECT_EQ(world_.Requests("harm", "2xx", ""), 1);
  EXPECT_EQ(world_.Requests("harm", "4xx", ""), 1);
  EXPECT_EQ(world_.Requests("harm", "5xx", ""), 2);
  const std::vector<nlohmann::json> lines = world_.AccessLog();
  ASSERT_EQ(lines.size(), std::size(kCases));
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["grpc_status"], std::stoi(std::string(kCases[i].status)));
    EXPECT_EQ(lines[i]["status"], 200);
  }
}

TEST_F(GrpcCall, IsNeverTriedAgainAfterItsFirstMessage) {
  // In one piece with its status, and before it.
  world_.service.Answer(InTrailers("14", {"message"}));
  EXPECT_EQ(Run("/free/x").body(), "message");
  EXPECT_EQ(Status(), "14");
  EXPECT_EQ(world_.service.attempts(), 1);
  world_.service.Answer(InTrailers("14", {"message", ""}));
  EXPECT_EQ(Run("/free/x").body(), "message");
  EXPECT_EQ(Status(), "14");
  EXPECT_EQ(world_.service.attempts(), 2);
  EXPECT_EQ(world_.Counter("outrigger_retries_total", {"503", "forbidden"}), 1);
}

TEST_F(GrpcCall, HeadThatComesAloneIsHeldUntilThereIsMoreToSay) {
  ServiceAnswer late = InTrailers("14");
  late.piece_takes = Milliseconds(900);
  world_.service.Answer(late);
  world_.service.Answer(InTrailers("0", {"reply"}));
  EXPECT_EQ(Run("/free/x").body(), "reply");
  EXPECT_EQ(Status(), "0");
  EXPECT_EQ(world_.service.attempts(), 2);
}

TEST_F(GrpcCall, HeadIsNotHeldForLong) {
  ServiceAnswer late = InTrailers("14");
  late.piece_takes = Milliseconds(2000);
  world_.service.Answer(late);
  Start("/free/x");
  world_.loop.Advance(Milliseconds(999));
  EXPECT_EQ(stream().status(), 0);
  world_.loop.Advance(Milliseconds(20));
  EXPECT_EQ(stream().status(), 200);
  world_.loop.Advance(Seconds(5));
  EXPECT_EQ(Status(), "14");
  EXPECT_EQ(world_.service.attempts(), 1);
}

TEST_F(GrpcCall, HeadIsNotHeldWhileTheCallerIsStillSending) {
  ServiceAnswer late = InTrailers("0", {"reply"});
  late.is_early = true;
  late.piece_takes = Milliseconds(500);
  world_.service.Answer(late);
  Start("/free/x");
  world_.loop.Advance(Milliseconds(10));
  EXPECT_EQ(stream().status(), 200);
}

TEST_F(GrpcCall, ConnectionLostBeforeAnyMessageIsAFailedAttempt) {
  world_.service.Answer({.headers = {kGrpc}, .pieces = {""}, .is_cut = true});
  world_.service.Answer(InTrailers("0", {"reply"}));
  EXPECT_EQ(Run("/free/x").body(), "reply");
  EXPECT_EQ(world_.service.attempts(), 2);
}

TEST_F(GrpcCall, PushbackSaysWhenAndWhether) {
  ServiceAnswer later = InTrailers("14");
  later.trailers.push_back({"grpc-retry-pushback-ms", "700"});
  world_.service.Answer(later);
  world_.service.Answer(InTrailers("0", {"reply"}));
  Start("/free/x");
  world_.loop.Advance(Milliseconds(690));
  EXPECT_EQ(world_.service.attempts(), 1);
  world_.loop.Advance(Milliseconds(200));
  EXPECT_EQ(world_.service.attempts(), 2);
  EXPECT_EQ(Status(), "0");

  world_.service.Answer(TrailersOnly(14, {{"grpc-retry-pushback-ms", "-1"}}));
  Run("/free/x");
  EXPECT_EQ(Status(), "14");
  EXPECT_EQ(world_.service.attempts(), 3);
}

TEST_F(GrpcCall, StatusesOpenTheBreakerAndItsRefusalIsTrailersOnly) {
  for (const std::string_view status : {"5", "8", "0", "16", "1"}) {
    world_.service.Answer(InTrailers(status, {"reply"}));
    Run("/harm/x");
  }
  // In a head, in trailers, and behind a message.
  world_.service.Answer(TrailersOnly(13));
  Run("/harm/x");
  world_.service.Answer(InTrailers("14"));
  Run("/harm/x");
  ServiceAnswer late = InTrailers("2");
  late.piece_takes = Seconds(2);
  world_.service.Answer(late);
  Run("/harm/x");
  ASSERT_EQ(world_.service.attempts(), 8);

  Run("/harm/x");
  EXPECT_EQ(world_.service.attempts(), 8);
  EXPECT_EQ(stream().status(), 200);
  EXPECT_EQ(stream().header("content-type"), "application/grpc");
  EXPECT_EQ(stream().header("grpc-status"), "14");
  EXPECT_EQ(stream().header("grpc-message"), "The circuit breaker is open");
  EXPECT_EQ(stream().header("x-outrigger-reason"), "breaker_open");
  EXPECT_EQ(stream().header("x-should-retry"), "true");
  EXPECT_EQ(stream().header("grpc-retry-pushback-ms"), stream().header("retry-after-ms"));
  EXPECT_NE(stream().header("retry-after-ms"), "");
  EXPECT_EQ(stream().body(), "");
  exchange_.reset();
  EXPECT_EQ(world_.Requests("harm", "5xx", "breaker_open"), 1);
  EXPECT_EQ(world_.AccessLog().back()["grpc_status"], 14);
}

// The first message is a success, what comes behind it a failure: half of both opens the breaker.
TEST_F(GrpcCall, BadEndBehindMessagesAddsAFailure) {
  const auto opens = [](const ServiceAnswer& answer, std::string timeout = "1H") {
    DriverWorld world(
        "filters: [breaker: {consecutive: 1000, failure_ratio: 50%, min_requests: 4}, "
        "timeout: {overall: 8s}]");
    world.service.AnswerAlways(answer);
    for (int i = 0; i < 2; ++i) {
      FakeExchange exchange(world, {.path = "/x",
                                    .headers = {{"grpc-timeout", timeout}},
                                    .pieces = {"message"},
                                    .is_grpc = true});
      exchange.Start();
      world.loop.Advance(Seconds(2));
      EXPECT_TRUE(exchange.stream.is_over());
      EXPECT_EQ(exchange.stream.body(), "message");
    }
    FakeExchange last(world, {.path = "/x", .is_grpc = true});
    last.Start();
    world.loop.Advance(Seconds(1));
    return last.stream.header("x-outrigger-reason") == "breaker_open";
  };
  const ServiceAnswer cut{.headers = {kGrpc}, .pieces = {"message"}, .is_cut = true};
  const ServiceAnswer hung{.headers = {kGrpc}, .pieces = {"message"}, .hangs = true};
  EXPECT_TRUE(opens(cut));
  EXPECT_TRUE(opens(InTrailers("13", {"message", ""})));
  EXPECT_FALSE(opens(InTrailers("8", {"message", ""})));
  EXPECT_FALSE(opens(InTrailers("3", {"message", ""})));
  EXPECT_FALSE(opens(InTrailers("0", {"message", ""})));
  // The caller's own deadline.
  EXPECT_FALSE(opens(hung, "1S"));
}

// The service gives up a moment before the proxy would, because its caller wanted it so.
TEST_F(GrpcCall, CallersDeadlineIsNoFailureOfTheService) {
  for (const bool is_callers : {true, false}) {
    DriverWorld world(kConfig);
    ServiceAnswer late = TrailersOnly(4);
    late.head_takes = Milliseconds(95);
    world.service.AnswerAlways(late);
    for (int i = 0; i < 4; ++i) {
      FakeExchange exchange(world, {.path = "/harm/x",
                                    .headers = {{"grpc-timeout", is_callers ? "100m" : "900m"}},
                                    .pieces = {"message"},
                                    .is_grpc = true});
      exchange.Start();
      world.loop.Advance(Seconds(1));
    }
    EXPECT_EQ(world.service.attempts(), is_callers ? 4 : 3);
  }
}

TEST_F(GrpcCall, CallersDeadlineIsObeyedAndWhatIsLeftIsPassedOn) {
  world_.service.Answer({.hangs = true});
  Start("/harm/x", {{"grpc-timeout", "250m"}});
  world_.loop.Advance(Milliseconds(249));
  EXPECT_FALSE(stream().is_over());
  world_.loop.Advance(Milliseconds(2));
  EXPECT_EQ(stream().header("grpc-status"), "4");
  EXPECT_EQ(stream().header("x-outrigger-reason"), "deadline");
  EXPECT_EQ(stream().header("grpc-retry-pushback-ms"), "-1");  // it may have been executed
  EXPECT_EQ(world_.service.live_connections(), 0);
}

TEST_F(GrpcCall, DeadlineThatHasPassedOrCannotBeReadIsRefused) {
  Run("/harm/x", {{"grpc-timeout", "0n"}});
  EXPECT_EQ(Status(), "4");
  for (const std::string timeout : {"1", "1s", "-1S", "100000000S", "", "1 S", "S"}) {
    Run("/harm/x", {{"grpc-timeout", timeout}});
    EXPECT_EQ(Status(), "3") << timeout;
    EXPECT_EQ(stream().header("x-outrigger-reason"), "bad_request");
    EXPECT_EQ(stream().header("grpc-message"), "malformed grpc-timeout");
  }
  EXPECT_EQ(world_.service.attempts(), 0);
}

TEST_F(GrpcCall, StreamMayOutliveOverallButNotTheCallersDeadline) {
  ServiceAnswer stream_answer = InTrailers("0", std::vector<std::string>(30, "m"));
  stream_answer.piece_takes = Seconds(1);
  world_.service.Answer(stream_answer);
  Start("/harm/x");
  world_.loop.Advance(Seconds(35));
  EXPECT_EQ(stream().body().size(), 30u);
  EXPECT_EQ(Status(), "0");

  world_.service.Answer(stream_answer);
  Start("/harm/x", {{"grpc-timeout", "5S"}});
  world_.loop.Advance(Seconds(6));
  EXPECT_TRUE(stream().is_over());
  EXPECT_FALSE(stream().is_aborted());
  EXPECT_EQ(stream().trailer("grpc-status"), "4");
  EXPECT_EQ(stream().trailer("x-outrigger-reason"), "deadline");

  stream_answer.pieces.resize(100, "m");
  world_.service.Answer(stream_answer);
  Start("/harm/x");
  world_.loop.Advance(Seconds(62));
  EXPECT_EQ(stream().trailer("grpc-status"), "4");
  EXPECT_EQ(stream().trailer("x-outrigger-reason"), "max_stream");
}

TEST_F(GrpcCall, ThatIsCutEndsWithAStatus) {
  world_.service.Answer({.headers = {kGrpc}, .pieces = {"message"}, .is_cut = true});
  Run("/free/x");
  EXPECT_EQ(stream().body(), "message");
  EXPECT_FALSE(stream().is_aborted());
  EXPECT_EQ(stream().trailer("grpc-status"), "14");
  EXPECT_EQ(stream().trailer("x-outrigger-reason"), "upstream_reset");
  EXPECT_NE(stream().trailer("grpc-message"), "");
  exchange_.reset();
  EXPECT_EQ(Calls("free", "UNAVAILABLE"), 1);
  EXPECT_EQ(world_.Requests("free", "5xx", "upstream_reset"), 1);
}

TEST_F(GrpcCall, ProxyThatEndsSaysSoInTrailers) {
  world_.service.Answer({.headers = {kGrpc}, .pieces = {"message"}, .hangs = true});
  Run("/free/x");
  exchange_->Shutdown();
  EXPECT_EQ(stream().trailer("grpc-status"), "14");
  EXPECT_EQ(stream().trailer("x-outrigger-reason"), "draining");
}

TEST_F(GrpcCall, AnswerOfSomethingElseIsPassedOnAndCutAsSuch) {
  world_.service.Answer({.status = 502,
                         .headers = {{"content-type", "text/html"}},
                         .pieces = {"<html>"},
                         .is_cut = true});
  Run("/harm/x");
  EXPECT_EQ(stream().status(), 502);
  EXPECT_TRUE(stream().is_aborted());
  exchange_.reset();
  EXPECT_EQ(Calls("harm", "none"), 1);
  EXPECT_EQ(world_.AccessLog().back().count("grpc_status"), 0u);
}

TEST_F(GrpcCall, ServiceThatLeavesTheStatusOutHasFailed) {
  ServiceAnswer bare{.headers = {kGrpc}, .pieces = {""}};
  world_.service.AnswerAlways(bare);
  Run("/free/x");
  EXPECT_EQ(world_.service.attempts(), 2);
  exchange_.reset();
  EXPECT_EQ(Calls("free", "none"), 1);
}

TEST_F(GrpcCall, ThatIsRepeatedWithItsKeyGetsTheSameBytesAndTrailers) {
  const Fields key{{"idempotency-key", "k1"}};
  ServiceAnswer answer = InTrailers("0", {"one", "two"});
  answer.headers.push_back({"x-initial", "i"});
  answer.trailers.push_back({"grpc-message", "fine"});
  answer.trailers.push_back({"x-trailing-bin", "AAEC"});
  world_.service.Answer(answer);
  for (int i = 0; i < 2; ++i) {
    Run("/harm/x", key);
    EXPECT_EQ(stream().body(), "onetwo");
    EXPECT_EQ(stream().header("x-initial"), "i");
    EXPECT_EQ(stream().trailer("grpc-status"), "0");
    EXPECT_EQ(stream().trailer("grpc-message"), "fine");
    EXPECT_EQ(stream().trailer("x-trailing-bin"), "AAEC");
    EXPECT_EQ(stream().header("idempotent-replayed"), i == 0 ? "" : "true");
  }
  EXPECT_EQ(world_.service.attempts(), 1);
  exchange_.reset();
  EXPECT_EQ(Calls("harm", "OK"), 2);
  EXPECT_EQ(world_.AccessLog().back()["idempotency"], "replayed");
}

TEST_F(GrpcCall, StatusDecidesWhatBecomesOfItsKey) {
  const struct {
    std::string_view status;
    bool is_harmless;
    bool is_kept;
    std::string_view outcome;
  } kCases[] = {
      {"5", false, true, ""},          // an answer like another
      {"5", true, true, ""},           //
      {"13", false, true, "unknown"},  // may have been executed: said again, never done again
      {"13", true, false, ""},         // released
      {"16", false, false, ""},        //
      {"10", false, false, ""},        //
  };
  for (const bool is_in_trailers : {false, true}) {
    for (const auto& c : kCases) {
      SCOPED_TRACE(std::string(c.status) + (c.is_harmless ? ", harmless" : ""));
      DriverWorld world(R"(
routes:
  - {name: free, match: {prefix: /free}, effects: none}
filters: [idempotency: {}, timeout: {}])");
      world.service.AnswerAlways(is_in_trailers ? InTrailers(c.status)
                                                : TrailersOnly(std::stoi(std::string(c.status))));
      int attempts = 0;
      for (const bool is_repeated : {false, true}) {
        attempts = world.service.attempts();
        FakeExchange exchange(world, {.path = c.is_harmless ? "/free/x" : "/harm/x",
                                      .headers = {{"idempotency-key", "k"}},
                                      .pieces = {"message"},
                                      .is_grpc = true});
        exchange.Start();
        world.loop.Advance(Seconds(5));
        const FakeStream& stream = exchange.stream;
        EXPECT_EQ(is_in_trailers ? stream.trailer("grpc-status") : stream.header("grpc-status"),
                  c.status);
        EXPECT_EQ(stream.header("x-outrigger-outcome"), c.outcome);
        EXPECT_EQ(stream.header("idempotent-replayed"), is_repeated && c.is_kept ? "true" : "");
      }
      EXPECT_EQ(world.service.attempts() == attempts, c.is_kept);
    }
  }
}

TEST_F(GrpcCall, RefusalsAboutKeysHaveTheirCodes) {
  world_.service.Answer(InTrailers("0", {"reply"}));
  Run("/harm/x", {{"idempotency-key", "k"}});
  Run("/harm/other", {{"idempotency-key", "k"}});
  EXPECT_EQ(Status(), "3");
  EXPECT_EQ(stream().header("x-outrigger-reason"), "idem_mismatch");
  EXPECT_EQ(stream().header("grpc-retry-pushback-ms"), "-1");
  Run("/harm/x", {{"idempotency-key", "two words"}});
  EXPECT_EQ(Status(), "3");
  EXPECT_EQ(stream().header("x-outrigger-reason"), "idem_key_invalid");
}

}  // namespace
}  // namespace outrigger::chain
