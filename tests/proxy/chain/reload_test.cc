// A reload between the chains: what a stream began with stays until its end, and no longer.

#include <gtest/gtest.h>

#include <memory>

#include "tests/proxy/chain/driver_world.h"

namespace outrigger::chain {
namespace {

constexpr char kOld[] = "routes: [{name: old, match: {prefix: /}}]\nfilters: [timeout: {}]";
constexpr char kNew[] = "routes: [{name: new, match: {prefix: /}}]\nfilters: [retry: {}]";

TEST(Reload, StreamsUnderWayKeepTheirSnapshotAndTheLastFreesIt) {
  DriverWorld world(kOld);
  const std::weak_ptr<const config::Config> before = world.config;
  world.service.AnswerAlways({.pieces = {"hel"}, .hangs = true});
  FakeExchange first(world, {.path = "/a"});
  FakeExchange second(world, {.path = "/b"});
  first.Start();
  second.Start();
  world.loop.Advance(absl::Milliseconds(50));
  world.Reload(kNew);
  FakeExchange third(world, {.path = "/c"});
  third.Start();
  world.loop.Advance(absl::Milliseconds(50));
  ASSERT_FALSE(before.expired());
  first.Leave();
  world.loop.RunPending();
  EXPECT_FALSE(before.expired()) << "the second stream";
  second.Leave();
  EXPECT_FALSE(before.expired()) << "not in the middle of a turn";
  world.loop.RunPending();
  EXPECT_TRUE(before.expired());
  third.Leave();
  EXPECT_EQ(world.Requests("old", "2xx", ""), 2);
  EXPECT_EQ(world.Requests("new", "2xx", ""), 1);
}

TEST(Reload, WithoutStreamsNothingIsLeftOfTheOldOne) {
  DriverWorld world(kOld);
  const std::weak_ptr<const config::Config> before = world.config;
  world.Reload(kNew);
  world.loop.RunPending();
  EXPECT_TRUE(before.expired());
}

TEST(Reload, AnExecutionWithoutItsCallerKeepsItsSnapshot) {
  DriverWorld world("filters: [idempotency: {}]");
  const std::weak_ptr<const config::Config> before = world.config;
  world.service.Answer({.pieces = {"data: {\"a\":1}\n\n"}, .hangs = true});
  FakeExchange exchange(world, {.path = "/effect", .headers = {{"idempotency-key", "k1"}}});
  exchange.Start();
  world.loop.RunPending();
  exchange.Leave();
  world.Reload("filters: [idempotency: {}]\nmemory_budget: 16MiB");
  world.loop.RunPending();
  EXPECT_FALSE(before.expired()) << "it goes on detached";
  EXPECT_EQ(world.service.live_connections(), 1);
  world.executions.CancelDetached();
  world.loop.RunPending();
  EXPECT_TRUE(before.expired());
  EXPECT_EQ(world.service.live_connections(), 0);
}

}  // namespace
}  // namespace outrigger::chain
