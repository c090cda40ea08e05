// Both directions of a tunnel, their ends, and how it is ended from outside.

#include "proxy/tunnel/tunnel.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/proxy/chain/fake_service_stream.h"
#include "tests/proxy/chain/fake_stream.h"
#include "tests/support/fake_loop.h"

namespace outrigger::tunnel {
namespace {

using absl::Seconds;
using End = Tunnel::End;

const std::string kFrame(
    "\x82\x03"
    "abc",
    5);
const std::string kCloseFromService("\x88\x02\x03\xE9", 4);

class TunnelTest : public testing::Test, private Tunnel::Observer {
 protected:
  void Start(bool is_websocket = true) {
    std::unique_ptr<http::Body> from_client = client_.StartTunnel({.headers = &no_headers_});
    tunnel_.emplace(loop_,
                    Tunnel::Sides{.client = client_,
                                  .from_client = std::move(from_client),
                                  .service = service_,
                                  .from_service = from_service_,
                                  .is_websocket = is_websocket},
                    idle_timeouts_, static_cast<Tunnel::Observer&>(*this));
    run_ = Watch();
    run_.Start();
    loop_.RunPending();
  }
  void ServiceSays(std::string_view bytes, bool is_last = false) {
    service_.Says(bytes, is_last);
    loop_.RunPending();
  }
  void ClientSays(std::string_view bytes, bool is_last = false) {
    client_.TunnelSends(bytes, is_last);
    loop_.RunPending();
  }
  ~TunnelTest() override {
    run_.Reset();
    tunnel_.reset();
    EXPECT_TRUE(idle_timeouts_.empty());
  }

  void OnTunnelBytes(bool is_to_service, size_t bytes) override {
    (is_to_service ? up_bytes_ : down_bytes_) += bytes;
  }

  Task<void> Watch() {
    const End end = co_await tunnel_->Run();
    end_ = end;
  }

  FakeLoop loop_;
  chain::Journal journal_;
  http::HeaderList no_headers_;
  chain::FakeStream client_{loop_, journal_};
  chain::FakeServiceStream service_{loop_, journal_};
  chain::FakeServiceBody from_service_{service_};
  DeadlineQueue idle_timeouts_{loop_, Seconds(30)};
  std::optional<Tunnel> tunnel_;
  std::optional<End> end_;
  size_t up_bytes_ = 0;
  size_t down_bytes_ = 0;
  Task<void> run_;
};

TEST_F(TunnelTest, CarriesBytesBothWaysAndEndsWhenBothHaveEnded) {
  Start();
  ClientSays("hello");
  EXPECT_EQ(service_.sent(), "hello");
  ServiceSays("hi");
  EXPECT_EQ(client_.body(), "hi");
  ClientSays("", true);
  EXPECT_TRUE(service_.is_finished());
  EXPECT_FALSE(end_.has_value());
  ServiceSays("bye", true);
  EXPECT_EQ(client_.body(), "hibye");
  EXPECT_TRUE(client_.has_last());
  EXPECT_EQ(end_, End::kComplete);
  EXPECT_EQ(up_bytes_, 5u);
  EXPECT_EQ(down_bytes_, 5u);
}

TEST_F(TunnelTest, GoesOnWhenTheServiceEndsFirst) {
  Start();
  ServiceSays("bye", true);
  EXPECT_TRUE(client_.has_last());
  ClientSays("still here");
  EXPECT_EQ(service_.sent(), "still here");
  EXPECT_FALSE(end_.has_value());
  ClientSays("", true);
  EXPECT_EQ(end_, End::kComplete);
}

TEST_F(TunnelTest, ASideThatDoesNotReadStopsTheOtherAlone) {
  Start();
  client_.SetTaking(false);
  ServiceSays("one");
  ServiceSays("two");
  EXPECT_EQ(client_.body(), "one");
  ClientSays("up");
  EXPECT_EQ(service_.sent(), "up");
  client_.SetTaking(true);
  loop_.RunPending();
  EXPECT_EQ(client_.body(), "onetwo");

  service_.SetTaking(false);
  ClientSays("three");
  ClientSays("four");
  EXPECT_EQ(service_.sent(), "upthree");
  service_.SetTaking(true);
  loop_.RunPending();
  EXPECT_EQ(service_.sent(), "upthreefour");
}

TEST_F(TunnelTest, AServiceThatBreaksEndsIt) {
  Start();
  service_.Breaks();
  loop_.RunPending();
  EXPECT_EQ(end_, End::kServiceGone);
}

TEST_F(TunnelTest, AServiceThatHasClosedNeedsNothingMore) {
  Start();
  ServiceSays("bye", true);
  service_.Breaks();
  ClientSays("x");
  EXPECT_EQ(end_, End::kComplete);
}

TEST_F(TunnelTest, IsIdleWhenNothingMovedForTheTime) {
  Start();
  for (int i = 0; i < 4; ++i) {
    loop_.Advance(Seconds(20));
    ClientSays("x");
    loop_.Advance(Seconds(20));
    ServiceSays("y");
  }
  EXPECT_FALSE(end_.has_value());
  loop_.Advance(Seconds(29));
  EXPECT_FALSE(end_.has_value());
  loop_.Advance(Seconds(2));
  EXPECT_EQ(end_, End::kIdle);
}

TEST_F(TunnelTest, SaysGoodbyeToBothBetweenFrames) {
  Start();
  ServiceSays(kFrame);
  ClientSays(kFrame);
  EXPECT_TRUE(tunnel_->SayGoodbye());
  EXPECT_EQ(client_.body(), kFrame + kCloseFromService);
  EXPECT_TRUE(client_.has_last());
  ASSERT_EQ(service_.sent().size(), kFrame.size() + 8);
  EXPECT_EQ(service_.sent().substr(kFrame.size(), 2), "\x88\x82");
  EXPECT_TRUE(service_.is_finished());
}

TEST_F(TunnelTest, AddsNothingInTheMiddleOfAFrame) {
  Start();
  ServiceSays(kFrame.substr(0, 3));
  ClientSays(kFrame.substr(0, 1));
  EXPECT_FALSE(tunnel_->SayGoodbye());
  EXPECT_EQ(client_.body(), kFrame.substr(0, 3));
  EXPECT_EQ(service_.sent(), kFrame.substr(0, 1));
  EXPECT_FALSE(service_.is_finished());
}

TEST_F(TunnelTest, AddsNothingToOtherProtocols) {
  Start(/*is_websocket=*/false);
  ServiceSays(kFrame);
  EXPECT_FALSE(tunnel_->SayGoodbye());
  EXPECT_EQ(client_.body(), kFrame);
  EXPECT_EQ(service_.sent(), "");
}

TEST_F(TunnelTest, OneSideMayHaveEndedBefore) {
  Start();
  ServiceSays(kFrame, true);
  EXPECT_TRUE(tunnel_->SayGoodbye());
  EXPECT_EQ(client_.body(), kFrame);
  EXPECT_EQ(service_.sent().size(), 8u);
}

TEST_F(TunnelTest, MayBeDroppedAtAnyTime) {
  Start();
  client_.SetTaking(false);
  ServiceSays("one");
  ClientSays("two");
  run_.Reset();
  tunnel_.reset();
  ServiceSays("nobody reads it");
  EXPECT_EQ(client_.body(), "one");
}

}  // namespace
}  // namespace outrigger::tunnel
