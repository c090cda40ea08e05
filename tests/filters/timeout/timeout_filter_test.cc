#include "filters/timeout/timeout_filter.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "filters/common/commit_gate.h"
#include "proxy/base/pooled.h"
#include "proxy/base/random.h"
#include "tests/proxy/metrics/scrape.h"
#include "tests/support/chain_of.h"
#include "tests/support/fake_loop.h"
#include "tests/support/scripted_next.h"

namespace outrigger::timeout {
namespace {

using absl::Milliseconds;
using absl::Minutes;
using absl::Seconds;
using http::Executed;
using http::Phase;
using http::Reason;

constexpr std::string_view kPing = ": ping\n\n";
constexpr std::string_view kToken = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

ScriptedResponse Stream(std::vector<BodyStep> body, bool ends = true) {
  return {
      .headers = {{"Content-Type", "text/event-stream"}}, .body = std::move(body), .ends = ends};
}

BodyStep After(absl::Duration delay, std::string_view data) {
  return {.data = std::string(data), .delay = delay};
}

// A worker with the filter, the commit gate inside it and a scripted service.
struct Worker {
  explicit Worker(const TimeoutPolicy& policy = {}, std::shared_ptr<AdaptiveLimit> limit = nullptr)
      : adaptive(std::move(limit)),
        filter(policy, {loop, *deadlines, metrics, standard, adaptive}),
        gate(loop, common::StreamGrammar::kOpenAi,
             &deadlines->For(std::min(common::CommitGate::kLongestHold, policy.ttft))),
        chain({&filter, &gate, &next}) {}

  double Timeouts(std::string_view tier) {
    return metrics::CounterValue(registry, "outrigger_timeouts_total", {std::string(tier)})
        .value_or(0);
  }
  // The queues' own timers go with them.
  size_t TimersLeft() {
    deadlines.reset();
    return loop.armed_timers();
  }

  FakeLoop loop;
  std::unique_ptr<DeadlineQueues> deadlines = std::make_unique<DeadlineQueues>(loop);
  metrics::Registry registry;
  metrics::StandardMetrics standard{registry};
  metrics::WorkerMetrics& metrics = registry.AddWorker();
  ScriptedNext next{loop};
  const std::shared_ptr<AdaptiveLimit> adaptive;
  TimeoutFilter filter;
  common::CommitGate gate;
  ChainOf chain;
};

void AskForStream(FilterRun& run) { run.request.headers.Add("Accept", "text/event-stream"); }

TEST(TimeoutFilter, GivesPlainAnswersTheirTimeAndNoWrapper) {
  Worker worker;
  worker.next.Respond({.body = {After(Minutes(3), "slow")}, .delay = Minutes(4)});
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  EXPECT_TRUE(worker.deadlines->For(Seconds(60)).empty());
  worker.loop.Advance(Minutes(4));
  ASSERT_TRUE(run.is_done());
  ASSERT_TRUE(run.result().ok());
  EXPECT_NE(dynamic_cast<ScriptedBody*>(run.result()->body.get()), nullptr);
  run.StartReading();
  worker.loop.Advance(Minutes(3));
  ASSERT_TRUE(run.is_read());
  EXPECT_EQ(run.body(), "slow");
}

TEST(TimeoutFilter, CutsAnAttemptThatTakesLongerThanPerTry) {
  Worker worker({.per_try = Seconds(5)});
  worker.next.Respond({.delay = Minutes(1)});
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(5) - Milliseconds(1));
  EXPECT_FALSE(run.is_done());
  worker.loop.Advance(Milliseconds(1));
  ASSERT_TRUE(run.is_done());
  ASSERT_FALSE(run.result().ok());
  EXPECT_EQ(run.result().error().reason, Reason::kPerTryTimeout);
  EXPECT_EQ(run.result().error().phase, Phase::kAwaitingHead);
  EXPECT_EQ(run.result().error().executed, Executed::kMaybe);
  EXPECT_EQ(worker.next.live_calls(), 0);
  EXPECT_EQ(worker.Timeouts("per_try"), 1);
}

TEST(TimeoutFilter, KnowsThatNothingWasExecutedBeforeTheDispatch) {
  Worker worker({.per_try = Seconds(5)});
  worker.next.Hang();
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(5));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result().error().reason, Reason::kPerTryTimeout);
  EXPECT_EQ(run.result().error().phase, Phase::kConnect);
  EXPECT_EQ(run.result().error().executed, Executed::kNo);
}

TEST(TimeoutFilter, LeavesThePerTryTimeWithTheHead) {
  Worker worker({.per_try = Seconds(5)});
  worker.next.Respond({.body = {After(Minutes(1), "late")}, .delay = Seconds(4)});
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(4));
  ASSERT_TRUE(run.is_done());
  run.StartReading();
  worker.loop.Advance(Minutes(1));
  EXPECT_EQ(run.body(), "late");
  EXPECT_EQ(worker.Timeouts("per_try"), 0);
}

TEST(TimeoutFilter, BoundsTheWaitForTheHeadOfAStreamThatWasAskedFor) {
  Worker worker;
  worker.next.Respond({.delay = Minutes(2)});
  FilterRun run(worker.loop, worker.chain, worker.next);
  AskForStream(run);
  run.Start();
  worker.loop.Advance(Seconds(60) - Milliseconds(1));
  EXPECT_FALSE(run.is_done());
  worker.loop.Advance(Milliseconds(1));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result().error().reason, Reason::kTtftTimeout);
  EXPECT_EQ(run.result().error().phase, Phase::kAwaitingHead);
  EXPECT_EQ(run.result().error().executed, Executed::kMaybe);
  EXPECT_EQ(worker.Timeouts("ttft"), 1);
}

TEST(TimeoutFilter, TakesTheShorterOfPerTryAndFirstToken) {
  Worker worker({.per_try = Seconds(5), .ttft = Seconds(3)});
  worker.next.Respond({.delay = Minutes(2)});
  FilterRun run(worker.loop, worker.chain, worker.next);
  AskForStream(run);
  run.Start();
  worker.loop.Advance(Seconds(3));
  ASSERT_TRUE(run.is_done());
  EXPECT_EQ(run.result().error().reason, Reason::kTtftTimeout);
}

TEST(TimeoutFilter, CutsAPassedOnStreamWithoutContentAtTheFirstTokenTime) {
  Worker worker;
  std::vector<BodyStep> pings(100, After(Seconds(1), kPing));
  ScriptedResponse response = Stream(pings, /*ends=*/false);
  response.delay = Seconds(10);
  worker.next.Respond(response);
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(25));
  ASSERT_TRUE(run.is_done());
  ASSERT_TRUE(run.result().ok());
  run.StartReading();
  // 60 s from the start of the attempt: 10 for the head, 15 held.
  worker.loop.Advance(Seconds(35) - Milliseconds(1));
  EXPECT_FALSE(run.is_read());
  worker.loop.Advance(Milliseconds(20));
  ASSERT_TRUE(run.is_read());
  ASSERT_TRUE(run.body_failure().has_value());
  EXPECT_EQ(run.body_failure()->reason, Reason::kTtftTimeout);
  EXPECT_EQ(run.body_failure()->phase, Phase::kBody);
  EXPECT_EQ(run.body_failure()->executed, Executed::kMaybe);
  EXPECT_EQ(worker.Timeouts("ttft"), 1);
}

TEST(TimeoutFilter, DiscardsAStreamWhoseTimeIsOverWhenTheGateLetsGo) {
  Worker worker({.ttft = Seconds(10)});
  worker.next.Respond(Stream({After(Seconds(1), kPing)}, /*ends=*/false));
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  ASSERT_FALSE(run.result().ok());
  EXPECT_EQ(run.result().error().reason, Reason::kTtftTimeout);
  // Nothing was committed: this is still a failed attempt, which retry may repeat.
  EXPECT_EQ(run.result().error().phase, Phase::kAwaitingHead);
  EXPECT_EQ(worker.next.live_bodies(), 0);
}

TEST(TimeoutFilter, KeepsAnErrorStatusHoweverLateItsEvents) {
  Worker worker({.ttft = Seconds(10)});
  ScriptedResponse response = Stream({After(Seconds(1), kPing)}, /*ends=*/false);
  response.status = 503;
  response.delay = Seconds(20);
  worker.next.Respond(response);
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(20));
  ASSERT_TRUE(run.is_done());
  ASSERT_TRUE(run.result().ok());
  EXPECT_EQ(run.result()->status, 503);
}

TEST(TimeoutFilter, CutsAStreamOfPingsAtTheInterTokenTime) {
  Worker worker;
  std::vector<BodyStep> body = {After(Seconds(1), kToken)};
  body.insert(body.end(), 100, After(Seconds(1), kPing));
  worker.next.Respond(Stream(body, /*ends=*/false));
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(1));
  ASSERT_TRUE(run.is_done());
  run.StartReading();
  worker.loop.Advance(Seconds(30) - Milliseconds(1));
  EXPECT_FALSE(run.is_read());
  worker.loop.Advance(Milliseconds(20));
  ASSERT_TRUE(run.is_read());
  EXPECT_EQ(run.body_failure()->reason, Reason::kInterTokenTimeout);
  EXPECT_EQ(run.body_failure()->phase, Phase::kBody);
  EXPECT_EQ(run.body_failure()->executed, Executed::kYes);
  EXPECT_EQ(worker.Timeouts("inter_token"), 1);
  EXPECT_EQ(worker.Timeouts("ttft"), 0);
}

TEST(TimeoutFilter, LetsAStreamOfOneHourLiveAtOneTokenInTenSeconds) {
  Worker worker;
  std::vector<BodyStep> body;
  std::string expected;
  for (int i = 0; i < 360; ++i) {
    body.push_back(After(Seconds(5), kPing));
    body.push_back(After(Seconds(5), kToken));
    expected.append(kPing).append(kToken);
  }
  body.push_back(After(absl::ZeroDuration(), kDone));
  worker.next.Respond(Stream(body));
  FilterRun run(worker.loop, worker.chain, worker.next);
  AskForStream(run);
  run.Start();
  worker.loop.Advance(Seconds(10));
  ASSERT_TRUE(run.is_done());
  run.StartReading();
  worker.loop.Advance(absl::Hours(1));
  ASSERT_TRUE(run.is_read());
  EXPECT_FALSE(run.body_failure().has_value());
  EXPECT_EQ(run.body(), expected.append(kDone));
}

TEST(TimeoutFilter, PassesAnUpstreamThatClosesInMidBodyOn) {
  Worker worker;
  worker.next.Respond(Stream(
      {After(Seconds(1), kToken),
       {.delay = Seconds(2),
        .failure = http::Failure{.reason = Reason::kUpstreamReset, .phase = Phase::kBody}}}));
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(1));
  ASSERT_TRUE(run.is_done());
  run.StartReading();
  worker.loop.Advance(Seconds(2));
  ASSERT_TRUE(run.is_read());
  EXPECT_EQ(run.body(), kToken);
  EXPECT_EQ(run.body_failure()->reason, Reason::kUpstreamReset);
  EXPECT_EQ(worker.Timeouts("inter_token"), 0);
}

TEST(TimeoutFilter, PassesAnEmptyStreamThatHasEndedOnEvenWhenItIsLate) {
  Worker worker({.ttft = Seconds(10)});
  ScriptedResponse response = Stream({After(Seconds(1), kDone)});
  response.delay = Seconds(20);
  worker.next.Respond(response);
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(21));
  ASSERT_TRUE(run.is_done());
  ASSERT_TRUE(run.result().ok());
}

// Reads a body with pauses of its own, like a client that does not keep up.
struct PausingReader {
  Task<void> Run(FakeLoop& loop, http::Response& response, std::vector<absl::Duration> pauses) {
    for (absl::Duration pause : pauses) {
      co_await loop.Sleep(pause);
      http::ChunkResult chunk = co_await response.body->Read();
      if (!chunk.ok()) {
        failure = chunk.error();
        failed_at = loop.Now();
        co_return;
      }
      if (chunk->is_last) co_return;
    }
  }
  std::optional<http::Failure> failure;
  MonoTime failed_at;
};

TEST(TimeoutFilter, DoesNotCountTheTimeInWhichNobodyReads) {
  Worker worker;
  worker.next.Respond(Stream({After(absl::ZeroDuration(), kToken), After(Seconds(20), kPing),
                              After(Seconds(20), kToken)}));
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  ASSERT_TRUE(run.is_done());
  PausingReader reader;
  // The token, 20 s of reading for the ping, a pause of ten minutes, then 10 s are left.
  Task<void> task = reader.Run(worker.loop, run.result().value(),
                               {absl::ZeroDuration(), absl::ZeroDuration(), Minutes(10)});
  task.Start();
  const MonoTime start = worker.loop.Now();
  worker.loop.Advance(Minutes(20));
  ASSERT_TRUE(reader.failure.has_value());
  EXPECT_EQ(reader.failure->reason, Reason::kInterTokenTimeout);
  EXPECT_EQ(reader.failed_at - start, Seconds(20) + Minutes(10) + Seconds(10));
}

// Whatever the service sends and the client pauses, the cut comes exactly when the outstanding
// reads since the last content add up to the limit, and otherwise not at all.
TEST(TimeoutFilter, AgreesWithAModelOfSilencesAndPauses) {
  int cuts = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Worker worker;
    std::vector<BodyStep> body = {After(absl::ZeroDuration(), kToken)};
    std::vector<absl::Duration> pauses = {absl::ZeroDuration()};
    const MonoTime start = worker.loop.Now();
    MonoTime at = start;
    absl::Duration silence = absl::ZeroDuration();
    std::optional<MonoTime> cut_at;
    for (int i = 0; i < 30; ++i) {
      const bool is_token = random.Below(2) == 0;
      // The delay of a scripted step begins with the read.
      const absl::Duration delay = Milliseconds(random.Below(6'000) * 2);
      const absl::Duration pause =
          random.Below(3) == 0 ? Milliseconds(random.Below(50'000) * 2 + 1) : absl::ZeroDuration();
      body.push_back(After(delay, is_token ? kToken : kPing));
      pauses.push_back(pause);
      if (cut_at.has_value()) continue;
      at = at + pause;
      if (silence + delay >= Seconds(30) && delay > absl::ZeroDuration()) {
        cut_at = at + (Seconds(30) - silence);
        continue;
      }
      at = at + delay;
      silence = is_token ? absl::ZeroDuration() : silence + delay;
    }
    worker.next.Respond(Stream(body));
    FilterRun run(worker.loop, worker.chain, worker.next);
    run.Start();
    ASSERT_TRUE(run.is_done());
    PausingReader reader;
    Task<void> task = reader.Run(worker.loop, run.result().value(), pauses);
    task.Start();
    worker.loop.Advance(absl::Hours(2));
    ASSERT_EQ(reader.failure.has_value(), cut_at.has_value());
    if (cut_at.has_value()) {
      EXPECT_EQ(reader.failed_at - start, *cut_at - start);
    }
    cuts += cut_at.has_value() ? 1 : 0;
  }
  // The schedules were not all of one kind.
  EXPECT_GT(cuts, 30);
  EXPECT_LT(cuts, 270);
}

TEST(TimeoutFilter, LeavesNothingWhenTheClientGoesAtAnyWait) {
  struct Row {
    const char* where;
    absl::Duration when;
    bool reads;
  };
  // Head at 5 s, pings from then on, passed on at 20 s, a token at 40 s.
  const Row rows[] = {
      {"before the head", Seconds(2), false},         {"while the gate holds", Seconds(10), false},
      {"before the first token", Seconds(30), true},  {"between tokens", Seconds(45), true},
      {"passed on and not read", Seconds(30), false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.where);
    Worker worker({.per_try = Seconds(100)});
    const long blocks = LivePooledBlocks();
    {
      std::vector<BodyStep> body(35, After(Seconds(1), kPing));
      body.push_back(After(absl::ZeroDuration(), kToken));
      ScriptedResponse response = Stream(body, /*ends=*/false);
      response.delay = Seconds(5);
      worker.next.Respond(response);
      FilterRun run(worker.loop, worker.chain, worker.next);
      AskForStream(run);
      run.Start();
      if (row.reads) {
        worker.loop.Advance(Seconds(20));
        ASSERT_TRUE(run.is_done());
        run.StartReading();
        worker.loop.Advance(row.when - Seconds(20));
        ASSERT_FALSE(run.is_read());
      } else {
        worker.loop.Advance(row.when);
      }
      run.Drop();
      EXPECT_EQ(worker.next.live_calls(), 0);
      EXPECT_EQ(worker.next.live_bodies(), 0);
      for (absl::Duration timeout : {Seconds(100), Seconds(60), Seconds(30), Seconds(15)}) {
        EXPECT_TRUE(worker.deadlines->For(timeout).empty()) << timeout;
      }
    }
    EXPECT_EQ(worker.TimersLeft(), 0u);
    EXPECT_EQ(LivePooledBlocks(), blocks);
  }
}

// A head after 8 s and no content: the attempt's time is that from its start, not from its head.
TEST(TimeoutFilter, CountsTheFirstTokenTimeFromTheStartOfTheAttempt) {
  Worker worker({.ttft = Seconds(10)});
  ScriptedResponse response = Stream({After(Seconds(1), kPing)}, /*ends=*/false);
  response.delay = Seconds(8);
  worker.next.Respond(response);
  FilterRun run(worker.loop, worker.chain, worker.next);
  run.Start();
  worker.loop.Advance(Seconds(10) - Milliseconds(1));
  EXPECT_FALSE(run.is_done());
  worker.loop.Advance(Milliseconds(1));
  ASSERT_TRUE(run.is_done());
  ASSERT_FALSE(run.result().ok());
  EXPECT_EQ(run.result().error().reason, Reason::kTtftTimeout);
  EXPECT_EQ(run.result().error().phase, Phase::kAwaitingHead);
}

// Has seen enough streams whose first content took 4 s: the limit is 12 s and a little.
std::shared_ptr<AdaptiveLimit> LearnedLimit(int samples = 100) {
  auto limit = std::make_shared<AdaptiveLimit>(AdaptivePolicy{});
  const MonoTime now = FakeLoop().Now();
  for (int i = 0; i < samples; ++i) limit->Record(Seconds(4), now);
  return limit;
}

// How a stream comes to its limit.
struct WayToTheLimit {
  const char* name;
  bool asks;            // by Accept
  absl::Duration head;  // when it comes
};

// Runs a stream of pings until it is cut; when that was.
absl::Duration CutAfter(Worker& worker, const WayToTheLimit& way, bool* is_before_commit) {
  std::vector<BodyStep> pings(300, After(Seconds(1), kPing));
  ScriptedResponse response = Stream(pings, /*ends=*/false);
  response.delay = way.head;
  worker.next.Respond(response);
  FilterRun run(worker.loop, worker.chain, worker.next);
  if (way.asks) AskForStream(run);
  const MonoTime began = worker.loop.Now();
  run.Start();
  while (!run.is_done() && worker.loop.Now() - began < Minutes(3)) {
    worker.loop.Advance(Milliseconds(5));
  }
  EXPECT_TRUE(run.is_done());
  *is_before_commit = !run.result().ok();
  if (*is_before_commit) {
    EXPECT_EQ(run.result().error().reason, Reason::kTtftTimeout);
    return worker.loop.Now() - began;
  }
  run.StartReading();
  while (!run.is_read() && worker.loop.Now() - began < Minutes(3)) {
    worker.loop.Advance(Milliseconds(5));
  }
  EXPECT_TRUE(run.is_read());
  EXPECT_EQ(run.body_failure()->reason, Reason::kTtftTimeout);
  return worker.loop.Now() - began;
}

TEST(AdaptiveTimeout, CutsAtTheLearnedLimitInPlaceOfTtft) {
  const WayToTheLimit ways[] = {
      {"asked for, before the head", true, Minutes(5)},
      {"asked for, behind the head", true, Seconds(3)},
      {"not asked for", false, Seconds(3)},
      {"not asked for, head late", false, Seconds(11)},
  };
  for (const WayToTheLimit& way : ways) {
    SCOPED_TRACE(way.name);
    Worker worker({}, LearnedLimit());
    bool is_before_commit = false;
    const absl::Duration after = CutAfter(worker, way, &is_before_commit);
    EXPECT_TRUE(is_before_commit) << "retry could not repeat it";
    EXPECT_GE(after, Seconds(12));
    EXPECT_LE(after, Seconds(12) * 33 / 32 + Milliseconds(10));
    EXPECT_EQ(worker.Timeouts("ttft"), 1);
    EXPECT_EQ(worker.TimersLeft(), 0u);
  }
}

TEST(AdaptiveTimeout, HoldsTtftUntilEnoughWasSeen) {
  for (const bool asks : {false, true}) {
    Worker worker({.ttft = Seconds(7)},
                  std::make_shared<AdaptiveLimit>(AdaptivePolicy{.otherwise = Seconds(7)}));
    bool is_before_commit = false;
    const absl::Duration after = CutAfter(worker, {"", asks, Seconds(1)}, &is_before_commit);
    EXPECT_GE(after, Seconds(7));
    EXPECT_LE(after, Seconds(7) + Milliseconds(10));
  }
}

// Whatever way a stream takes to its first content or to its cut, it is one observation, of its
// time: here the hundredth, which makes the limit a learned one.
TEST(AdaptiveTimeout, LearnsFromEachStreamOnce) {
  struct Row {
    const char* name;
    ScriptedResponse response;
    bool asks;
    absl::Duration lasts;     // until it is over or has content
    absl::Duration from, to;  // of the limit then; 60 s: nothing was learned
  };
  ScriptedResponse late_head = Stream({After(Seconds(2), kToken)}, /*ends=*/false);
  late_head.delay = Seconds(8);
  // The gate lets go at 15 s, and a scripted delay begins with the read.
  ScriptedResponse behind_the_gate =
      Stream({After(Seconds(5), kPing), After(Seconds(15), kToken), After(Seconds(1), kToken)},
             /*ends=*/false);
  ScriptedResponse hangs{.delay = Minutes(10)};
  ScriptedResponse silent = Stream({After(Seconds(1), kPing)}, /*ends=*/false);
  ScriptedResponse failed = Stream({After(Seconds(1), kToken)}, /*ends=*/false);
  failed.status = 503;
  ScriptedResponse plain{.body = {After(Seconds(1), "text")}, .delay = Seconds(1)};
  ScriptedResponse empty = Stream({After(Seconds(1), kDone)});
  const Row rows[] = {
      {"within the hold", late_head, false, Seconds(10), Seconds(30), Seconds(31)},
      {"behind the hold", behind_the_gate, false, Seconds(31), Seconds(90), Seconds(93)},
      {"behind the hold, asked for", behind_the_gate, true, Seconds(31), Seconds(90), Seconds(93)},
      {"cut before the head", hangs, true, Seconds(60), Seconds(120), Seconds(120)},
      {"cut behind the head", silent, true, Seconds(60), Seconds(120), Seconds(120)},
      {"cut while read", silent, false, Seconds(60), Seconds(120), Seconds(120)},
      {"an error", failed, false, Seconds(10), Seconds(60), Seconds(60)},
      {"no stream", plain, false, Seconds(10), Seconds(60), Seconds(60)},
      {"no content", empty, false, Seconds(10), Seconds(60), Seconds(60)},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    auto limit = std::make_shared<AdaptiveLimit>(AdaptivePolicy{});
    Worker worker({}, limit);
    // The percentile of a hundred is the second largest.
    limit->Record(absl::Hours(1), worker.loop.Now());
    for (int i = 0; i < 98; ++i) limit->Record(Seconds(1), worker.loop.Now());
    worker.next.Respond(row.response);
    FilterRun run(worker.loop, worker.chain, worker.next);
    if (row.asks) AskForStream(run);
    run.Start();
    const MonoTime end = worker.loop.Now() + row.lasts + Milliseconds(50);
    bool is_reading = false;
    while (worker.loop.Now() < end) {
      worker.loop.Advance(Milliseconds(10));
      if (!run.is_done() || !run.result().ok() || std::exchange(is_reading, true)) continue;
      run.StartReading();
    }
    EXPECT_GE(limit->Limit(worker.loop.Now()), row.from);
    EXPECT_LE(limit->Limit(worker.loop.Now()), row.to);
    run.Drop();
    EXPECT_EQ(worker.TimersLeft(), 0u);
  }
}

TEST(AdaptiveTimeout, LearnsNothingFromAClientThatLeaves) {
  Worker worker({}, LearnedLimit(99));
  for (const absl::Duration when : {Seconds(2), Seconds(20), Seconds(40)}) {
    worker.next.Respond(Stream(std::vector<BodyStep>(300, After(Seconds(1), kPing)),
                               /*ends=*/false));
    FilterRun run(worker.loop, worker.chain, worker.next);
    run.Start();
    worker.loop.Advance(when);
    run.Drop();
  }
  EXPECT_EQ(worker.adaptive->Limit(worker.loop.Now()), Seconds(60));
}

TEST(AdaptiveTimeout, CutsAServiceThatHasBecomeSlowerOnlyForAWhile) {
  Worker worker({}, LearnedLimit(1'000));
  int cuts = 0;
  int answers = 0;
  for (int i = 0; i < 20; ++i) {
    ScriptedResponse slow = Stream({After(absl::ZeroDuration(), kToken)}, /*ends=*/false);
    slow.delay = Seconds(20);
    worker.next.Respond(slow);
    FilterRun run(worker.loop, worker.chain, worker.next);
    AskForStream(run);
    run.Start();
    worker.loop.Advance(Seconds(20));
    ASSERT_TRUE(run.is_done());
    if (run.result().ok()) {
      ++answers;
    } else {
      ++cuts;
      EXPECT_EQ(answers, 0) << "cut again";
    }
  }
  EXPECT_EQ(cuts, AdaptiveLimit::kCutsInARow);
}

TEST(TimeoutFilter, UnderstandsAccept) {
  const struct {
    std::vector<std::string> fields;
    bool asks;
  } rows[] = {
      {{}, false},
      {{""}, false},
      {{"text/event-stream"}, true},
      {{"Text/Event-Stream; q=0.9"}, true},
      {{" text/event-stream ,"}, true},
      {{"text/event-stream", "text/event-stream"}, true},
      {{"application/json, text/event-stream"}, false},
      {{"text/event-stream", "*/*"}, false},
      {{"text/event-streams"}, false},
      {{"application/json"}, false},
  };
  for (const auto& row : rows) {
    http::HeaderList headers;
    for (const std::string& field : row.fields) headers.Add("accept", field);
    EXPECT_EQ(AsksForEventStream(headers), row.asks)
        << (row.fields.empty() ? "no field" : row.fields[0]);
  }
}

}  // namespace
}  // namespace outrigger::timeout
