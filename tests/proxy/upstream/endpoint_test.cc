#include "proxy/upstream/endpoint.h"

#include <gtest/gtest.h>

#include <vector>

namespace outrigger::upstream {
namespace {

constexpr absl::Duration kJustBefore = absl::Nanoseconds(-1);

class EndpointTest : public testing::Test {
 protected:
  // How long the endpoint stays away after a failure at `now_`, which then moves to the end.
  absl::Duration Fail() {
    state_.OnConnectResult(false, now_);
    for (int seconds = 1; seconds <= 64; ++seconds) {
      const MonoTime end = now_ + absl::Seconds(seconds);
      if (state_.is_ejected(end)) continue;
      EXPECT_TRUE(state_.is_ejected(end + kJustBefore));
      now_ = end;
      return absl::Seconds(seconds);
    }
    return absl::InfiniteDuration();
  }

  EventLoop loop_;
  MemoryBudget budget_{1 << 20};
  net::BufferPool pool_{budget_};
  UpstreamOptions options_;
  EndpointState state_{loop_, pool_, options_, {net::ParseEndpoint("127.0.0.1:1").value()}};
  MonoTime now_ = loop_.Now();
};

TEST_F(EndpointTest, IsEjectedForTwiceAsLongUpToThirtySeconds) {
  EXPECT_FALSE(state_.is_ejected(now_));
  for (int seconds : {1, 2, 4, 8, 16, 30, 30}) EXPECT_EQ(Fail(), absl::Seconds(seconds));
}

TEST_F(EndpointTest, BeginsAnewAfterASuccess) {
  EXPECT_EQ(Fail(), absl::Seconds(1));
  EXPECT_EQ(Fail(), absl::Seconds(2));
  state_.OnConnectResult(true, now_);
  EXPECT_FALSE(state_.is_ejected(now_));
  EXPECT_EQ(Fail(), absl::Seconds(1));
}

TEST_F(EndpointTest, CountsConnectionsThatFailTogetherOnce) {
  for (int i = 0; i < 10; ++i) state_.OnConnectResult(false, now_ + absl::Milliseconds(i));
  EXPECT_TRUE(state_.is_ejected(now_ + absl::Seconds(1) + kJustBefore));
  EXPECT_FALSE(state_.is_ejected(now_ + absl::Seconds(1)));
  now_ = now_ + absl::Seconds(1);
  EXPECT_EQ(Fail(), absl::Seconds(2));
}

TEST_F(EndpointTest, TakesItsAddressesInTurn) {
  std::vector<net::SocketAddress> addresses;
  for (uint16_t port = 1; port <= 3; ++port) {
    addresses.push_back(net::SocketAddress::FromIp("127.0.0.1", port).value());
  }
  state_.SetAddresses(addresses);
  std::vector<int> seen(4);
  for (int i = 0; i < 9; ++i) ++seen[state_.NextAddress().port()];
  EXPECT_EQ(seen, (std::vector<int>{0, 3, 3, 3}));
  state_.SetAddresses({});
  EXPECT_FALSE(state_.has_address());
}

}  // namespace
}  // namespace outrigger::upstream
