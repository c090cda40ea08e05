// What the driver and the filters make of an answer that opens a tunnel (PR-4).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "proxy/chain/stream_driver.h"
#include "tests/proxy/chain/driver_world.h"

namespace outrigger::chain {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using testing::ElementsAre;

constexpr std::string_view kAllFilters =
    "filters: [idempotency: {}, rate_limit: {rules: [{name: r, rate: 1/h, burst: 2}]}, retry: {}, "
    "breaker: {}, timeout: {overall: 8s, per_try: 2s, tunnel_idle: 20s}]";
const std::string kFrame(
    "\x82\x03"
    "abc",
    5);

class TunnelDriver : public testing::Test {
 protected:
  void Open(ServiceAnswer answer = {}) {
    answer.status = 101;
    answer.opens_tunnel = true;
    world_.service.Answer(std::move(answer));
    exchange_.emplace(
        world_, FakeRequest{.method = http::Method::kGet, .path = "/ws", .upgrade = "websocket"});
    exchange_->Start();
    world_.loop.Advance(Milliseconds(50));
  }
  FakeStream& client() { return exchange_->stream; }
  FakeServiceStream& service() { return world_.service.tunnel(); }
  double OpenTunnels() {
    return metrics::GaugeValue(world_.registry, "outrigger_open_tunnels").value_or(-1);
  }
  double Ended(const std::string& end) {
    return world_.Counter("outrigger_tunnels_total", {"unmatched", end});
  }
  nlohmann::json Line() {
    exchange_->End();
    world_.loop.RunPending();
    EXPECT_EQ(world_.InFlight(), 0);
    EXPECT_EQ(world_.active_requests, 0);
    EXPECT_EQ(OpenTunnels(), 0);
    EXPECT_EQ(world_.service.live_connections(), 0);
    const std::vector<nlohmann::json> lines = world_.AccessLog();
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? nlohmann::json() : lines.front();
  }

  DriverWorld world_{kAllFilters};
  std::optional<FakeExchange> exchange_;
};

TEST_F(TunnelDriver, OpensItThroughTheWholeChainAndTellsOnceAtItsEnd) {
  Open({.leases = {"a"}});
  EXPECT_EQ(client().status(), 101);
  EXPECT_EQ(OpenTunnels(), 1);
  client().TunnelSends("up");
  service().Says("down!");
  world_.loop.RunPending();
  EXPECT_EQ(service().sent(), "up");
  EXPECT_EQ(client().body(), "down!");
  EXPECT_EQ(world_.active_requests, 1) << "a drain waits for it";
  client().TunnelSends("", true);
  service().Says("", true);
  world_.loop.RunPending();
  EXPECT_THAT(world_.journal, ElementsAre("head 101", "tunnel", "data", "service finish", "finish",
                                          "lease a told complete", "lease a gone", "connection"));
  EXPECT_EQ(Ended("complete"), 1);
  EXPECT_EQ(world_.Requests("unmatched", "1xx", ""), 1);
  EXPECT_EQ(world_.Counter("outrigger_tunnel_bytes_total", {"unmatched", "to_service"}), 2);
  EXPECT_EQ(world_.Counter("outrigger_tunnel_bytes_total", {"unmatched", "to_client"}), 5);
  const nlohmann::json line = Line();
  EXPECT_EQ(line["upgrade"], "websocket");
  EXPECT_EQ(line["tunnel"], "complete");
  EXPECT_EQ(line["request_bytes"], 2);
  EXPECT_EQ(line["response_bytes"], 5);
}

TEST_F(TunnelDriver, HasNoDeadlineButItsIdleTime) {
  Open();
  for (int i = 0; i < 10; ++i) {
    world_.loop.Advance(Seconds(15));
    service().Says(kFrame);
    world_.loop.RunPending();
  }
  EXPECT_FALSE(client().is_over());
  world_.loop.Advance(Seconds(21));
  EXPECT_TRUE(client().is_over());
  EXPECT_FALSE(client().is_aborted());
  EXPECT_EQ(client().body().substr(10 * kFrame.size()), std::string("\x88\x02\x03\xE9", 4));
  EXPECT_EQ(Ended("idle"), 1);
  EXPECT_EQ(world_.Counter("outrigger_timeouts_total", {"tunnel_idle"}), 1);
  EXPECT_EQ(Line()["tunnel"], "idle");
}

TEST_F(TunnelDriver, IsCutInTheMiddleOfAFrame) {
  Open({.leases = {"a"}});
  service().Says(kFrame.substr(0, 2));
  world_.loop.Advance(Seconds(21));
  EXPECT_TRUE(client().is_aborted());
  EXPECT_EQ(Ended("idle"), 1);
  // That nobody spoke says nothing about the service.
  EXPECT_THAT(world_.journal, testing::Contains("lease a told complete"));
  Line();
}

TEST_F(TunnelDriver, IsNotTriedAgainOnceItWasOpen) {
  Open({.leases = {"a"}});
  service().Breaks();
  world_.loop.Advance(Seconds(5));
  EXPECT_TRUE(client().is_aborted());
  EXPECT_EQ(world_.service.attempts(), 1);
  EXPECT_THAT(world_.journal, testing::Contains("lease a told cut"));
  const nlohmann::json line = Line();
  EXPECT_EQ(line["tunnel"], "service_gone");
  EXPECT_EQ(line["reason"], "upstream_reset");
}

TEST_F(TunnelDriver, IsTriedAgainBeforeItIsOpen) {
  world_.service.Answer({.status = 503});
  Open();
  world_.loop.Advance(Seconds(2));
  EXPECT_EQ(client().status(), 101);
  EXPECT_EQ(world_.service.attempts(), 2);
  exchange_->Leave();
  EXPECT_EQ(Ended("client_gone"), 1);
  Line();
}

TEST_F(TunnelDriver, AClientThatLeavesTakesItAlong) {
  Open({.leases = {"a"}});
  exchange_->Leave();
  EXPECT_THAT(world_.journal, ElementsAre("head 101", "tunnel", "lease a told client_gone",
                                          "lease a gone", "connection"));
  const nlohmann::json line = Line();
  EXPECT_EQ(line["status"], 101);
  EXPECT_EQ(line["tunnel"], "client_gone");
}

TEST_F(TunnelDriver, IsToldWhenTheProxyEnds) {
  Open();
  exchange_->Shutdown();
  EXPECT_EQ(client().body(), std::string("\x88\x02\x03\xE9", 4));
  EXPECT_TRUE(client().is_over());
  EXPECT_FALSE(client().is_aborted());
  EXPECT_EQ(Ended("drained"), 1);
  EXPECT_EQ(Line()["reason"], "draining");
}

TEST_F(TunnelDriver, AnEventStreamInItsHeadMeansNothing) {
  Open({.headers = {{"Content-Type", "text/event-stream"}}});
  EXPECT_EQ(client().status(), 101);
  service().Says("data: x\n\n");
  world_.loop.RunPending();
  EXPECT_EQ(client().body(), "data: x\n\n");
  exchange_->Leave();
  Line();
}

TEST_F(TunnelDriver, CostsTheLimiterOneRequest) {
  Open();
  for (int i = 0; i < 10; ++i) {
    client().TunnelSends(kFrame);
    world_.loop.RunPending();
  }
  exchange_->Leave();
  exchange_.reset();
  Open();
  EXPECT_EQ(client().status(), 101);
  exchange_->Leave();
  exchange_.reset();
  Open();
  EXPECT_EQ(client().status(), 429);
}

}  // namespace
}  // namespace outrigger::chain
