#include "proxy/server/listener_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "proxy/net/listener.h"

namespace outrigger::server {
namespace {

using config::AddressUse;
using config::ListenerConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Kept = std::vector<std::optional<size_t>>;

ListenerConfig Named(const std::string& name, const std::string& address) {
  ListenerConfig listener;
  listener.name = name;
  listener.address = config::ParseAddress(address, AddressUse::kListen).value();
  return listener;
}

TEST(MatchListeners, GoesByTheAddress) {
  const std::vector<ListenerConfig> current = {Named("a", "0.0.0.0:1"), Named("b", "[::]:2"),
                                               Named("c", "unix:/run/c.sock")};
  EXPECT_EQ(MatchListeners(current, current), Kept({0, 1, 2}));
  EXPECT_EQ(MatchListeners(current, {Named("c", "unix:/run/c.sock"), Named("x", "0.0.0.0:1"),
                                     Named("b", "[::]:3")}),
            Kept({2, 0, std::nullopt}));
  EXPECT_EQ(MatchListeners({}, current), Kept({std::nullopt, std::nullopt, std::nullopt}));
  EXPECT_THAT(MatchListeners(current, {}), IsEmpty());
}

TEST(MatchListeners, TellsListenersOnAnyPortApartByNameThenByOrder) {
  const std::vector<ListenerConfig> current = {Named("a", "127.0.0.1:0"), Named("b", "127.0.0.1:0"),
                                               Named("c", "127.0.0.1:0")};
  EXPECT_EQ(MatchListeners(current, {Named("c", "127.0.0.1:0"), Named("a", "127.0.0.1:0")}),
            Kept({2, 0}));
  EXPECT_EQ(MatchListeners(current, {Named("new", "127.0.0.1:0"), Named("a", "127.0.0.1:0"),
                                     Named("b", "127.0.0.1:0"), Named("d", "127.0.0.1:0")}),
            Kept({2, 0, 1, std::nullopt}));
}

class ListenerSetTest : public testing::Test {
 protected:
  ListenerSetTest() {
    char name[] = "/tmp/listener-set-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~ListenerSetTest() override {
    unlink(socket_path().c_str());
    rmdir(folder_.c_str());
  }

  std::string socket_path() const { return folder_ + "/s.sock"; }
  static bool Exists(const std::string& path) {
    struct stat status {};
    return stat(path.c_str(), &status) == 0;
  }

  ListenerSet set_{2};
  std::string folder_;
};

TEST_F(ListenerSetTest, GivesEachWorkerItsOwnSocketOfOneAddress) {
  absl::StatusOr<ListenerSet::Plan> plan =
      set_.Prepare({Named("a", "127.0.0.1:0"), Named("u", "unix:" + socket_path())});
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::vector<ListenerOrigin> first = plan->TakeFor(0);
  std::vector<ListenerOrigin> second = plan->TakeFor(1);
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(first[i].fd.is_open() && second[i].fd.is_open());
    EXPECT_NE(first[i].fd.get(), second[i].fd.get());
    EXPECT_EQ(net::Listener::AddressOf(first[i].fd.get()).ToString(),
              net::Listener::AddressOf(second[i].fd.get()).ToString());
  }
  const ListenerSet::Change change = set_.Commit(*std::move(plan));
  EXPECT_EQ(change.added, set_.Addresses());
  EXPECT_THAT(change.removed, IsEmpty());
  // Later only what is new is opened.
  plan = set_.Prepare({Named("renamed", "127.0.0.1:0")});
  ASSERT_TRUE(plan.ok());
  first = plan->TakeFor(0);
  EXPECT_EQ(first[0].kept, 0u);
  EXPECT_FALSE(first[0].fd.is_open());
  EXPECT_TRUE(Exists(socket_path()));
  EXPECT_THAT(set_.Commit(*std::move(plan)).removed, ElementsAre(HasSubstr("s.sock")));
  EXPECT_FALSE(Exists(socket_path()));
}

TEST_F(ListenerSetTest, LeavesNothingOpenWhenOneCannotBeOpened) {
  const int taken = *net::Listener::Open(net::SocketAddress::FromIp("127.0.0.1", 0).value());
  const std::string taken_address = net::Listener::AddressOf(taken).ToString();
  const absl::StatusOr<ListenerSet::Plan> plan =
      set_.Prepare({Named("u", "unix:" + socket_path()), Named("t", taken_address)});
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr(taken_address));
  close(taken);
  EXPECT_THAT(set_.Addresses(), IsEmpty());
  // Nobody listens on the leftover, so that it can be had again.
  EXPECT_TRUE(set_.Prepare({Named("u", "unix:" + socket_path())}).ok());
}

TEST_F(ListenerSetTest, OnePortCannotBeHadTwiceButMayMoveToAnotherAddress) {
  absl::StatusOr<ListenerSet::Plan> plan = set_.Prepare({Named("a", "127.0.0.1:0")});
  ASSERT_TRUE(plan.ok());
  const std::vector<ListenerOrigin> held = plan->TakeFor(0);
  const std::string port = std::to_string(net::Listener::AddressOf(held[0].fd.get()).port());
  set_.Commit(*std::move(plan));
  EXPECT_FALSE(set_.Prepare({Named("a", "127.0.0.1:0"), Named("b", "0.0.0.0:" + port)}).ok());
  EXPECT_TRUE(set_.Prepare({Named("b", "0.0.0.0:" + port)}).ok());
}

}  // namespace
}  // namespace outrigger::server
