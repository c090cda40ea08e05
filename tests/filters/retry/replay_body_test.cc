#include "filters/retry/replay_body.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/base/pooled.h"
#include "tests/filters/retry/request_bodies.h"
#include "tests/filters/retry/retry_worker.h"
#include "tests/support/chain_of.h"

namespace outrigger::retry {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using http::Effects;
using http::Reason;

// A request with a streamed body through the filter to a service that reads it.
struct BodyRun {
  BodyRun(RetryWorker& worker, std::vector<BodyReader::Plan> plans,
          std::unique_ptr<http::Body> body, std::optional<uint64_t> length = {})
      : service(worker.loop, std::move(plans)),
        chain({&worker.filter, &service}),
        run(worker.loop, chain, worker.next) {
    run.request.effects = Effects::kNone;
    run.request.body = std::move(body);
    run.request.body_length = length;
  }

  BodyReader service;
  ChainOf chain;
  FilterRun run;
};

TEST(ReplayBody, GivesEveryAttemptTheSameBytesForAnyChunking) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    RetryWorker worker({.seed = seed});
    const std::string text = RandomText(random.Below(60'000), random);
    std::vector<BodyReader::Plan> plans;
    for (int i = 0; i < 2; ++i) {
      plans.push_back({.bytes = random.Below(3) == 0 ? SIZE_MAX : random.Below(70'000),
                       .failure = Reason::kUpstreamReset});
    }
    plans.push_back({});
    {
      BodyRun body(worker, plans,
                   std::make_unique<ClientBody>(worker.loop, SplitAtRandom(text, random),
                                                Milliseconds(random.Below(3))));
      body.run.Start();
      worker.loop.Advance(Seconds(60));
      ASSERT_TRUE(body.run.is_done());
      ASSERT_TRUE(body.run.result().ok());
      ASSERT_EQ(body.service.bodies().size(), 3u);
      for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(body.service.bodies()[i], text.substr(0, body.service.bodies()[i].size()));
      }
      EXPECT_EQ(body.service.bodies()[2], text);
      EXPECT_TRUE(body.service.whole()[2]);
      EXPECT_EQ(AnswerHeader(body.run, "x-outrigger-attempts"), "3");
    }
    EXPECT_EQ(worker.memory.used_bytes(), 0u);
    EXPECT_EQ(worker.pool->used_bytes(), 0u);
  }
}

TEST(ReplayBody, LosesNothingWhenAnAttemptIsDroppedInsideARead) {
  RetryWorker worker;
  auto owned = std::make_unique<ReplayBody>(
      std::make_unique<ClientBody>(worker.loop, std::vector<std::string>{"one", "two", "three"},
                                   Seconds(1)),
      std::nullopt, ReplayBody::Limits{1000, &worker.memory, worker.pool});
  std::string text;
  bool is_whole = false;
  const auto read = [](http::Body& body, std::string& out, bool& whole) -> Task<void> {
    for (;;) {
      http::ChunkResult chunk = co_await body.Read();
      out += chunk->data;
      whole = chunk->is_last;
      if (whole) co_return;
    }
  };
  {
    Task<void> first = read(*owned, text, is_whole);
    first.Start();
    worker.loop.Advance(Milliseconds(2500));
    EXPECT_EQ(text, "onetwo");
  }
  EXPECT_EQ(worker.loop.armed_timers(), 0u);
  ASSERT_TRUE(owned->can_replay());
  owned->Rewind();
  text.clear();
  Task<void> second = read(*owned, text, is_whole);
  second.Start();
  worker.loop.Advance(Seconds(1));
  EXPECT_EQ(text, "onetwothree");
  EXPECT_TRUE(is_whole);
}

TEST(ReplayBody, LeavesABodyThatIsInMemoryAlone) {
  RetryWorker worker;
  auto whole = std::make_unique<WholeBody>("all of it");
  const http::Body* const original = whole.get();
  BodyRun body(worker, {{.bytes = 0, .status = 503}, {}}, std::move(whole), 9);
  body.run.Start();
  worker.loop.Advance(Seconds(5));
  ASSERT_TRUE(body.run.is_done());
  EXPECT_EQ(body.service.bodies().size(), 2u);
  EXPECT_EQ(body.run.request.body.get(), original);
}

TEST(ReplayBody, DoesNotRetryABodyOverTheLimitOnceItWasRead) {
  const std::string text(5000, 'x');
  // Known from its length, and only found out on the way.
  for (const bool is_stated : {true, false}) {
    RetryWorker worker({.policy = {.max_replay_body = 4999}});
    BodyRun body(
        worker, {{.failure = Reason::kUpstreamReset}, {}},
        std::make_unique<ClientBody>(
            worker.loop, std::vector<std::string>{text.substr(0, 4000), text.substr(4000)}),
        is_stated ? std::optional<uint64_t>(5000) : std::nullopt);
    body.run.Start();
    worker.loop.Advance(Seconds(10));
    ASSERT_TRUE(body.run.is_done());
    EXPECT_EQ(body.service.bodies(), std::vector<std::string>{text});
    EXPECT_EQ(body.run.result().error().reason, Reason::kUpstreamReset);
    EXPECT_TRUE(body.run.request.record.body_unbuffered);
    EXPECT_EQ(AnswerHeader(body.run, "x-outrigger-attempts"), "1;unbuffered");
    EXPECT_EQ(worker.Retries("reset", "not_replayable"), 1);
    EXPECT_EQ(worker.pool->used_bytes(), 0u);
  }
}

TEST(ReplayBody, RetriesATooLargeBodyOfWhichNothingWasRead) {
  RetryWorker worker({.policy = {.max_replay_body = 10}});
  BodyRun body(worker, {{.bytes = 0, .status = 503}, {}},
               std::make_unique<ClientBody>(worker.loop, std::vector<std::string>{"more than ten"}),
               13);
  body.run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(body.run.is_done());
  ASSERT_EQ(body.service.bodies().size(), 2u);
  EXPECT_EQ(body.service.bodies()[1], "more than ten");
  EXPECT_EQ(AnswerHeader(body.run, "x-outrigger-attempts"), "2;unbuffered");
}

TEST(ReplayBody, KeepsNothingWithoutMemoryToSpare) {
  struct Row {
    const char* what;
    size_t memory_bytes;
    size_t pool_bytes;
    bool is_kept;
  };
  const Row rows[] = {{"room for both", 100'000, 100'000, true},
                      {"a full pool", 100'000, 6'000, false},
                      {"memory over 80 %", 9'000, 100'000, false}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    RetryWorker worker({.memory_bytes = row.memory_bytes, .pool_bytes = row.pool_bytes});
    const std::string text(5000, 'x');
    BodyRun body(worker, {{.failure = Reason::kUpstreamReset}, {}},
                 std::make_unique<ClientBody>(worker.loop, std::vector<std::string>{text}));
    body.run.Start();
    worker.loop.Advance(Seconds(10));
    ASSERT_TRUE(body.run.is_done());
    EXPECT_EQ(body.service.bodies().size(), row.is_kept ? 2u : 1u);
    EXPECT_EQ(body.run.request.record.body_unbuffered, !row.is_kept);
  }
}

TEST(ReplayBody, GivesItsMemoryBackWithTheAnswer) {
  RetryWorker worker;
  BodyRun body(worker, {{}},
               std::make_unique<ClientBody>(worker.loop,
                                            std::vector<std::string>{std::string(50'000, 'x')}));
  body.run.Start();
  ASSERT_TRUE(body.run.is_done());
  EXPECT_EQ(worker.pool->used_bytes(), 0u);
  EXPECT_EQ(worker.memory.used_bytes(), 0u);
  EXPECT_FALSE(body.run.request.record.body_unbuffered);
}

TEST(ReplayBody, StreamsOnAfterAnEarlyAnswer) {
  RetryWorker worker;
  const std::string text = "first second third";
  BodyRun body(worker, {{.bytes = 6, .status = 503}, {.bytes = 3}},
               std::make_unique<ClientBody>(
                   worker.loop, std::vector<std::string>{"first ", "second ", "third"}));
  body.run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(body.run.is_done());
  EXPECT_EQ(body.service.bodies()[1], "first ");
  // The answer is here; the rest of the body is still to be sent by whoever sends it.
  std::string rest;
  for (bool is_last = false; !is_last;) {
    Task<http::ChunkResult> read = body.run.request.body->Read();
    read.Start();
    ASSERT_TRUE(read.is_done());
    const http::ChunkResult chunk = read.TakeValue();
    ASSERT_TRUE(chunk.ok());
    rest += chunk.value().data;
    is_last = chunk.value().is_last;
  }
  EXPECT_EQ("first " + rest, text);
  EXPECT_EQ(worker.pool->used_bytes(), 0u);
}

TEST(ReplayBody, AsksForANewConnectionAfterAStaleOne) {
  RetryWorker worker;
  struct Stale final : chain::Filter {
    Task<http::Result> Call(http::Request& request, chain::Next) override {
      if (calls++ == 0) {
        co_return http::Failure{.reason = Reason::kUpstreamReset,
                                .phase = http::Phase::kAwaitingHead,
                                .executed = http::Executed::kMaybe,
                                .on_reused_connection = true};
      }
      saw_need = request.needs_new_connection;
      co_return http::Response();
    }
    int calls = 0;
    bool saw_need = false;
  } stale;
  ChainOf chain({&worker.filter, &stale});
  FilterRun run(worker.loop, chain, worker.next);
  run.request.effects = Effects::kNone;
  run.Start();
  // At once, and out of no budget.
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(stale.calls, 2);
  EXPECT_TRUE(stale.saw_need);
  EXPECT_EQ(worker.Retries("reused_connection", "retried"), 1);
}

TEST(ReplayBody, LeavesNothingWhenTheClientGoesInsideIt) {
  RetryWorker worker;
  const long blocks = LivePooledBlocks();
  {
    BodyRun body(
        worker, {{.bytes = 12'000, .failure = Reason::kUpstreamReset}, {}},
        std::make_unique<ClientBody>(
            worker.loop, std::vector<std::string>(10, std::string(6'000, 'x')), Seconds(1)));
    body.run.Start();
    worker.loop.Advance(Seconds(5));
    EXPECT_FALSE(body.run.is_done());
    EXPECT_EQ(body.service.bodies().size(), 2u);
    EXPECT_GT(worker.pool->used_bytes(), 0u);
    body.run.Drop();
    EXPECT_EQ(worker.loop.armed_timers(), 0u);
    EXPECT_EQ(worker.pool->used_bytes(), 0u);
    EXPECT_EQ(worker.memory.used_bytes(), 0u);
  }
  EXPECT_EQ(LivePooledBlocks(), blocks);
}

}  // namespace
}  // namespace outrigger::retry
