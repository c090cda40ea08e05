#include "filters/idempotency/execution.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/filters/idempotency/filter_support.h"

namespace outrigger::idempotency {
namespace {

using http::Effects;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

constexpr absl::Duration kStep = absl::Milliseconds(10);

// Waits before its head, in its body and after it.
ScriptedResponse SlowAnswer() {
  return {
      .status = 200, .body = {{"one", kStep}, {"two", kStep}, {"three", kStep}}, .delay = kStep};
}

// A stream of `events` content events and, unless cut, its end.
std::vector<BodyStep> ChatEvents(int events, bool ends_well = true) {
  std::vector<BodyStep> steps;
  for (int i = 0; i < events; ++i) {
    steps.push_back(
        {"data: {\"choices\":[{\"delta\":{\"content\":\"token " + std::to_string(i) + "\"}}]}\n\n",
         kStep});
  }
  if (ends_well) steps.push_back({"data: [DONE]\n\n", kStep});
  return steps;
}
ScriptedResponse ChatStream(int events, bool ends_well = true) {
  return {.status = 200,
          .headers = {{"Content-Type", "text/event-stream"}},
          .body = ChatEvents(events, ends_well)};
}
std::string TextOf(const std::vector<BodyStep>& steps) {
  std::string text;
  for (const BodyStep& step : steps) text += step.data;
  return text;
}

TEST(Execution, RunsOnForTheRetryWhereverTheFirstCallerLeaves) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    for (int leave_after_ms = 0; leave_after_ms < 40; leave_after_ms += 5) {
      SCOPED_TRACE(leave_after_ms);
      FilterBench bench({.effects = effects});
      bench.next.Respond(SlowAnswer());
      auto first = std::make_unique<Caller>(bench, CallerOptions{});
      bench.loop.Advance(absl::Milliseconds(leave_after_ms));
      first.reset();
      bench.loop.RunPending();
      EXPECT_EQ(bench.detached.count(), 1u);
      bench.loop.Advance(absl::Seconds(1));
      EXPECT_EQ(bench.Keys(State::kDone), 1u);
      Caller retry(bench, {});
      bench.loop.RunPending();
      EXPECT_EQ(retry.body(), "onetwothree");
      EXPECT_EQ(bench.next.calls(), 1);
      EXPECT_TRUE(bench.IsQuiet());
    }
  }
}

TEST(Execution, EndsAtOnceWithItsLastReaderWhenThePolicySaysCancel) {
  for (int leave_after_ms = 0; leave_after_ms < 40; leave_after_ms += 5) {
    SCOPED_TRACE(leave_after_ms);
    FilterBench bench({.policy = {.on_owner_disconnect = OnOwnerDisconnect::kCancel}});
    bench.next.RespondAlways(SlowAnswer());
    auto first = std::make_unique<Caller>(bench, CallerOptions{});
    auto joiner = std::make_unique<Caller>(bench, CallerOptions{});
    bench.loop.Advance(absl::Milliseconds(leave_after_ms));
    first.reset();
    bench.loop.RunPending();
    EXPECT_EQ(bench.runtime.running(), 1u) << "a reader is left";
    joiner.reset();
    EXPECT_TRUE(bench.IsQuiet());
    EXPECT_EQ(bench.keys.Stats().released, 1u);
    Caller retry(bench, {});
    bench.loop.Advance(absl::Seconds(1));
    EXPECT_EQ(retry.body(), "onetwothree");
    EXPECT_EQ(bench.next.calls(), 2);
  }
}

TEST(Execution, LeavesAnUnknownOutcomeOrATombstoneWhenUnsafeWorkIsCancelled) {
  for (int leave_after_ms : {5, 15}) {
    FilterBench bench({.policy = {.on_owner_disconnect = OnOwnerDisconnect::kCancel},
                       .effects = Effects::kUnsafe});
    bench.next.Respond(SlowAnswer());
    auto first = std::make_unique<Caller>(bench, CallerOptions{});
    bench.loop.Advance(absl::Milliseconds(leave_after_ms));
    first.reset();
    EXPECT_TRUE(bench.IsQuiet());
    Caller retry(bench, {});
    bench.loop.RunPending();
    EXPECT_EQ(retry.reason(),
              leave_after_ms < 10 ? Reason::kIdemUnknown : Reason::kIdemResponseNotKept);
    EXPECT_EQ(bench.next.calls(), 1);
  }
}

TEST(Execution, GivesJoinersTheSameBytesWheneverTheyCome) {
  FilterBench bench;
  bench.next.Respond(SlowAnswer());
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 12; ++i) {
    callers.push_back(std::make_unique<Caller>(bench, CallerOptions{}));
    bench.loop.Advance(absl::Milliseconds(4));
  }
  for (size_t i = 0; i < callers.size(); ++i) {
    EXPECT_EQ(callers[i]->body(), "onetwothree");
    const std::string outcome = i == 0 ? "stored" : (i < 10 ? "joined" : "replayed");
    EXPECT_EQ(callers[i]->Outcome(), outcome) << i;
  }
  EXPECT_EQ(bench.next.calls(), 1);
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(Execution, EndsDetachedAfterItsTimeout) {
  FilterBench bench({.policy = {.detached_timeout = absl::Seconds(20)}});
  bench.next.Hang();
  bench.next.RespondAlways(SlowAnswer());
  { Caller first(bench, {}); }
  bench.loop.Advance(absl::Seconds(19));
  EXPECT_EQ(bench.runtime.running(), 1u);
  bench.loop.Advance(absl::Seconds(1));
  EXPECT_TRUE(bench.IsQuiet());
  EXPECT_EQ(bench.keys.Stats().released, 1u);
}

TEST(Execution, IsNoLongerDetachedOnceSomebodyJoins) {
  FilterBench bench({.policy = {.detached_timeout = absl::Seconds(20)}});
  bench.next.Hang();
  { Caller first(bench, {}); }
  bench.loop.Advance(absl::Seconds(15));
  EXPECT_EQ(bench.detached.count(), 1u);
  auto joiner = std::make_unique<Caller>(bench, CallerOptions{});
  bench.loop.Advance(absl::Seconds(100));
  EXPECT_EQ(bench.detached.count(), 0u);
  EXPECT_EQ(bench.runtime.running(), 1u);
  joiner.reset();
  bench.loop.Advance(absl::Seconds(20));
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(Execution, KeepsToTheNumberOfDetachedOnes) {
  FilterBench bench({.policy = {.max_detached = 2}});
  bench.next.RespondAlways(SlowAnswer());
  for (int i = 0; i < 5; ++i) {
    Caller caller(bench, {.key = "k" + std::to_string(i)});
  }
  bench.loop.RunPending();
  EXPECT_EQ(bench.detached.count(), 2u);
  EXPECT_EQ(bench.runtime.running(), 2u);
  EXPECT_EQ(bench.keys.Stats().released, 3u);
}

TEST(Execution, EndsAtTheLatestDeadlineOfItsReaders) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    FilterBench bench({.effects = effects});
    bench.next.Hang();
    Caller first(bench, {.timeout = absl::Seconds(10)});
    Caller joiner(bench, {.timeout = absl::Seconds(30)});
    bench.loop.Advance(absl::Seconds(10));
    EXPECT_EQ(first.reason(), Reason::kDeadline);
    EXPECT_EQ(bench.runtime.running(), 1u);
    bench.loop.Advance(absl::Seconds(20));
    EXPECT_EQ(joiner.reason(), Reason::kDeadline);
    EXPECT_TRUE(bench.IsQuiet());
    if (effects == Effects::kUnsafe) {
      Caller retry(bench, {});
      bench.loop.RunPending();
      EXPECT_EQ(retry.reason(), Reason::kIdemUnknown);
      EXPECT_EQ(retry.failure()->status, 504);
    } else {
      EXPECT_EQ(bench.keys.Stats().released, 1u);
    }
  }
}

TEST(Execution, GivesAStreamItsOwnTimeFromTheHeadOn) {
  FilterBench bench({.max_stream = absl::Seconds(60)});
  ScriptedResponse stream = ChatStream(3, /*ends_well=*/false);
  stream.ends = false;
  bench.next.Respond(stream);
  Caller first(bench, {.timeout = absl::Seconds(5)});
  bench.loop.Advance(absl::Seconds(59));
  EXPECT_FALSE(first.is_done());
  EXPECT_EQ(bench.runtime.running(), 1u);
  bench.loop.Advance(absl::Seconds(2));
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(Execution, EndsDetachedOnesWhenDrainBegins) {
  FilterBench bench;
  bench.next.RespondAlways(SlowAnswer());
  Caller waiting(bench, {.key = "read"});
  { Caller gone(bench, {.key = "detached"}); }
  { Caller gone(bench, {.key = "another"}); }
  bench.loop.RunPending();
  ASSERT_EQ(bench.detached.count(), 2u);
  bench.runtime.CancelDetached();
  EXPECT_EQ(bench.detached.count(), 0u);
  EXPECT_EQ(bench.runtime.running(), 1u);
  // Who leaves from now on takes the execution along.
  { Caller gone(bench, {.key = "late"}); }
  bench.loop.RunPending();
  EXPECT_EQ(bench.runtime.running(), 1u);
  bench.loop.Advance(absl::Seconds(1));
  EXPECT_EQ(waiting.body(), "onetwothree");
  EXPECT_TRUE(bench.IsQuiet());
}

// Reads the request's body as the router's pump does, after `delay` for its connection.
class ReadsBody final : public chain::Filter {
 public:
  explicit ReadsBody(Loop& loop, absl::Duration delay = absl::ZeroDuration(),
                     size_t enough = std::string::npos)
      : loop_(loop), delay_(delay), enough_(enough) {}

  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    co_await loop_.Sleep(delay_);
    while (!request.dispatch_hooks.empty()) {
      http::DispatchHook& hook = request.dispatch_hooks.front();
      hook.Unlink();
      std::optional<Failure> refused = co_await hook.BeforeDispatch(request);
      if (refused.has_value()) co_return *refused;
    }
    for (;;) {
      http::ChunkResult chunk = co_await request.body->Read();
      if (!chunk.ok()) co_return chunk.error();
      sent += chunk->data;
      if (!chunk->is_last && sent.size() < enough_) continue;
      if (request.body->trailers() != nullptr) trailers = request.body->trailers()->size();
      break;
    }
    http::Result result = co_await next(request);
    co_return result;
  }

  std::string sent;
  size_t trailers = 0;

 private:
  Loop& loop_;
  const absl::Duration delay_;
  const size_t enough_;  // bytes after which the service answers
};

// The end of an HTTP/2 request may come after the answer, in a frame of its own.
TEST(Execution, IsKeptWhenAllBytesOfItsRequestCameBeforeTheAnswer) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    SCOPED_TRACE(static_cast<int>(effects));
    FilterBench bench({.effects = effects});
    bench.chain[1] = std::make_unique<ReadsBody>(bench.loop, absl::ZeroDuration(), /*enough=*/2);
    bench.next.RespondAlways({.status = 200, .body = {{"answer"}}});
    Caller first(bench, {.received = {{"a"}, {"b"}}, .body_ends = false, .body_length = 2});
    bench.loop.RunPending();
    EXPECT_EQ(first.body(), "answer");
    Caller again(bench, {.body = "ab"});
    Caller other(bench, {.body = "ac"});
    bench.loop.RunPending();
    EXPECT_EQ(again.Outcome(), "replayed");
    EXPECT_EQ(other.reason(), Reason::kIdemMismatch);

    // Of a length that nobody stated, more might follow.
    Caller open(bench, {.key = "open", .received = {{"a"}, {"b"}}, .body_ends = false});
    bench.loop.RunPending();
    EXPECT_EQ(open.body(), "answer");
    EXPECT_EQ(bench.keys.Stats().stored, 1u);
  }
}

TEST(Execution, IsCutWhenItsClientLeavesBeforeTheEndOfItsRequest) {
  FilterBench bench({.effects = Effects::kUnsafe});
  bench.chain[1] = std::make_unique<ReadsBody>(bench.loop);
  bench.next.RespondAlways({.status = 200, .body = {{"answer"}}});
  {
    Caller first(bench, {.received = {{"ab"}}, .body_ends = false, .body_length = 2});
    bench.loop.RunPending();
  }
  EXPECT_TRUE(bench.IsQuiet());
  Caller retry(bench, {.body = "ab"});
  bench.loop.RunPending();
  EXPECT_EQ(retry.reason(), Reason::kIdemUnknown);
}

TEST(Execution, IsCancelledWhenItsRequestIsCutShort) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    SCOPED_TRACE(static_cast<int>(effects));
    FilterBench bench({.effects = effects});
    bench.chain[1] = std::make_unique<ReadsBody>(bench.loop);
    bench.next.RespondAlways({.status = 200, .body = {{"answer"}}});
    auto first = std::make_unique<Caller>(
        bench, CallerOptions{.received = {{"a"}, {"b", absl::Seconds(5)}}});
    Caller joiner(bench, {.received = {{"ab"}}});
    bench.loop.Advance(absl::Seconds(1));
    first.reset();
    bench.loop.RunPending();
    EXPECT_EQ(bench.runtime.running(), 0u);
    EXPECT_EQ(joiner.reason(), Reason::kIdemInFlight) << "nobody knows whether it was the same";
    Caller retry(bench, {.body = "ab"});
    bench.loop.RunPending();
    if (effects == Effects::kUnsafe) {
      EXPECT_EQ(retry.reason(), Reason::kIdemUnknown);
    } else {
      EXPECT_EQ(retry.reason(), Reason::kNone);
    }

    // A body that came whole lets the execution run on.
    FilterBench other({.effects = effects});
    other.chain[1] = std::make_unique<ReadsBody>(other.loop);
    other.next.RespondAlways(SlowAnswer());
    first = std::make_unique<Caller>(
        other, CallerOptions{.received = {{"a"}, {"b", absl::Milliseconds(1)}}});
    other.loop.Advance(absl::Milliseconds(2));
    first.reset();
    other.loop.Advance(absl::Seconds(1));
    Caller replay(other, {.received = {{"ab"}}});
    other.loop.RunPending();
    EXPECT_EQ(replay.body(), "onetwothree");
    EXPECT_EQ(replay.Outcome(), "replayed");
  }
}

// Those who still have their bodies in memory take the place of one that left before its own end.
TEST(Execution, BeginsAnewWithAJoinerThatHasItsBody) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    SCOPED_TRACE(static_cast<int>(effects));
    FilterBench bench({.effects = effects});
    // Not dispatched yet: nothing can have been executed.
    bench.chain[1] = std::make_unique<ReadsBody>(bench.loop, absl::Seconds(2));
    bench.next.RespondAlways(SlowAnswer());
    std::vector<std::unique_ptr<Caller>> joiners;
    auto leaver = std::make_unique<Caller>(
        bench, CallerOptions{.received = {{"a"}, {"b", absl::Seconds(5)}}});
    for (int i = 0; i < 3; ++i) {
      joiners.push_back(std::make_unique<Caller>(bench, CallerOptions{.body = "ab"}));
    }
    bench.loop.Advance(absl::Seconds(1));
    leaver.reset();
    bench.loop.Advance(absl::Seconds(5));
    for (const std::unique_ptr<Caller>& joiner : joiners) {
      EXPECT_EQ(joiner->reason(), Reason::kNone);
      EXPECT_EQ(joiner->body(), "onetwothree");
    }
    EXPECT_EQ(bench.next.calls(), 1);
    EXPECT_TRUE(bench.IsQuiet());
  }
}

// Received as a whole, read piece by piece; gone with the client's connection.
class ArrivedBody final : public http::Body {
 public:
  ArrivedBody(std::vector<std::string> pieces, bool is_whole)
      : pieces_(std::move(pieces)), is_whole_(is_whole) {
    trailers_.Add("x-sum", "1");
  }

  Task<http::ChunkResult> Read() override {
    std::optional<http::ChunkResult> ready = TryRead();
    co_return *ready;
  }
  std::optional<http::ChunkResult> TryRead() override {
    if (next_ == pieces_.size()) return std::nullopt;
    const std::string& piece = pieces_[next_++];
    return http::Chunk{piece, is_whole_ && next_ == pieces_.size()};
  }
  const http::HeaderList* trailers() const override {
    return is_whole_ && next_ == pieces_.size() ? &trailers_ : nullptr;
  }

 private:
  const std::vector<std::string> pieces_;
  const bool is_whole_;
  http::HeaderList trailers_;
  size_t next_ = 0;
};

// What counts is what has arrived, not what was passed on of it (ID-12).
TEST(Execution, RunsOnWhenAllOfItsRequestHadArrived) {
  for (const bool is_whole : {true, false}) {
    SCOPED_TRACE(is_whole);
    FilterBench bench;
    auto reads = std::make_unique<ReadsBody>(bench.loop, absl::Seconds(1));
    const ReadsBody& service = *reads;
    bench.chain[1] = std::move(reads);
    bench.next.RespondAlways(SlowAnswer());
    const auto make_body = [is_whole] {
      return std::make_unique<ArrivedBody>(std::vector<std::string>{"a", "bc", "d"}, is_whole);
    };
    auto first = std::make_unique<Caller>(bench, CallerOptions{.make_body = make_body});
    Caller joiner(bench, {.received = {{"abcd"}}});
    bench.loop.RunPending();
    const size_t before = bench.budget.used_bytes();
    first.reset();
    if (is_whole) {
      EXPECT_GT(bench.budget.used_bytes(), before) << "what is kept is counted";
    }
    bench.loop.Advance(absl::Seconds(2));
    EXPECT_EQ(joiner.reason(), is_whole ? Reason::kNone : Reason::kIdemInFlight);
    EXPECT_EQ(joiner.body(), is_whole ? "onetwothree" : "");
    EXPECT_EQ(service.sent, is_whole ? "abcd" : "");
    EXPECT_EQ(service.trailers, is_whole ? 1u : 0u);
    joiner.Leave();
    EXPECT_TRUE(bench.IsQuiet());
  }
}

TEST(Execution, RefusesOrWaitsAsThePolicySays) {
  FilterBench strict({.policy = {.in_flight = InFlight::kReject}});
  strict.next.Respond(SlowAnswer());
  Caller first(strict, {});
  Caller second(strict, {});
  EXPECT_EQ(second.reason(), Reason::kIdemInFlight);

  FilterBench patient(
      {.policy = {.in_flight = InFlight::kWait, .in_flight_wait = absl::Seconds(1)}});
  patient.next.Respond({.status = 200, .body = {{"late"}}, .delay = absl::Seconds(3)});
  Caller owner(patient, {});
  Caller early(patient, {});
  patient.loop.Advance(absl::Milliseconds(2500));
  EXPECT_EQ(early.reason(), Reason::kIdemInFlight);
  Caller in_time(patient, {});
  patient.loop.Advance(absl::Milliseconds(500));
  EXPECT_EQ(in_time.body(), "late");
  EXPECT_EQ(patient.next.calls(), 1);
  EXPECT_TRUE(patient.IsQuiet());
}

TEST(Execution, BoundsTheWaitersOfAKey) {
  FilterBench bench({.policy = {.max_waiters = 3}});
  bench.next.Respond(SlowAnswer());
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 5; ++i) callers.push_back(std::make_unique<Caller>(bench, CallerOptions{}));
  bench.loop.Advance(absl::Seconds(1));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(callers[i]->reason(), i < 3 ? Reason::kNone : Reason::kIdemInFlight) << i;
  }
}

// --- Too big to keep (ID-7, ID-12). ---

TEST(Execution, IsPacedByTheSlowestReaderOnceTheAnswerIsTooBig) {
  FilterBench bench({.policy = {.max_body_bytes = 1000, .window_bytes = 2000}});
  ScriptedResponse big{.status = 200, .delay = kStep};
  for (int i = 0; i < 100; ++i) {
    big.body.push_back({std::string(500, static_cast<char>('a' + i % 26))});
  }
  const std::string whole = TextOf(big.body);
  bench.next.RespondAlways(big);
  Caller fast(bench, {});
  Caller slow(bench, {.reads = false});
  bench.loop.Advance(kStep);
  EXPECT_FALSE(fast.is_done());
  EXPECT_LE(fast.body().size(), 1000u + 2000u + 500u);
  const size_t before = fast.body().size();
  Caller late(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(late.reason(), Reason::kIdemInFlight);
  for (int i = 0; i < 8; ++i) {
    slow.TakeOne();
    bench.loop.RunPending();
  }
  EXPECT_GT(fast.body().size(), before);
  EXPECT_FALSE(fast.is_done());
  slow.Resume();
  bench.loop.RunPending();
  EXPECT_TRUE(fast.body() == whole);
  EXPECT_TRUE(slow.body() == whole);
  EXPECT_TRUE(bench.IsQuiet());
  EXPECT_EQ(bench.keys.Stats().released, 1u);
}

TEST(Execution, GoesOnWhenTheReaderThatHeldItUpLeaves) {
  FilterBench bench(
      {.policy = {.max_body_bytes = 1000, .window_bytes = 2000}, .effects = Effects::kUnsafe});
  ScriptedResponse big{.status = 200, .delay = kStep};
  for (int i = 0; i < 100; ++i) big.body.push_back({std::string(500, 'x')});
  bench.next.RespondAlways(big);
  Caller fast(bench, {});
  auto slow = std::make_unique<Caller>(bench, CallerOptions{.reads = false});
  bench.loop.Advance(kStep);
  EXPECT_FALSE(fast.is_done());
  slow.reset();
  bench.loop.RunPending();
  EXPECT_EQ(fast.body().size(), 50'000u);
  Caller retry(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(retry.reason(), Reason::kIdemResponseNotKept);
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(Execution, StopsWorkThatNobodyReadsAndNobodyWillKeep) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    FilterBench bench({.policy = {.max_body_bytes = 1000}, .effects = effects});
    ScriptedResponse big{.status = 200};
    for (int i = 0; i < 100; ++i) big.body.push_back({std::string(500, 'x'), kStep});
    bench.next.RespondAlways(big);
    { Caller first(bench, {}); }
    bench.loop.Advance(absl::Milliseconds(100));
    EXPECT_EQ(bench.runtime.running(), effects == Effects::kUnsafe ? 1u : 0u);
    bench.loop.Advance(absl::Seconds(2));
    EXPECT_EQ(bench.Keys(State::kTombstone), effects == Effects::kUnsafe ? 1u : 0u);
    EXPECT_TRUE(bench.IsQuiet());
  }
}

TEST(Execution, OverflowsWhenMemoryIsShort) {
  FilterBench bench({.memory_bytes = 40'000});
  ScriptedResponse big{.status = 200};
  for (int i = 0; i < 200; ++i) big.body.push_back({std::string(500, 'x')});
  bench.next.RespondAlways(big);
  Caller first(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(first.body().size(), 100'000u);
  EXPECT_EQ(bench.keys.Stats().released, 1u);
}

// --- Event streams (ID-8). ---

TEST(Execution, JoinsAndReplaysAnEventStream) {
  FilterBench bench;
  bench.next.Respond(ChatStream(10));
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 30; ++i) {
    callers.push_back(std::make_unique<Caller>(bench, CallerOptions{}));
    bench.loop.Advance(absl::Milliseconds(5));
  }
  const std::string text = TextOf(ChatEvents(10));
  for (size_t i = 0; i < callers.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(callers[i]->body(), text);
    ASSERT_NE(callers[i]->response().stream, nullptr);
    const http::StreamState& state = *callers[i]->response().stream;
    EXPECT_TRUE(state.is_complete);
    EXPECT_TRUE(state.is_at_event_boundary);
    EXPECT_EQ(state.content_events, 10u);
    EXPECT_GE(state.first_content, callers[i]->request.received);
  }
  EXPECT_EQ(callers.front()->Outcome(), "stored");
  EXPECT_EQ(callers.back()->Outcome(), "replayed");
  EXPECT_EQ(bench.next.calls(), 1);
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(Execution, ReplaysAStreamAtItsOwnPaceIfAskedTo) {
  FilterBench bench({.policy = {.replay_pace = ReplayPace::kOriginal}});
  ScriptedResponse stream = ChatStream(3);
  stream.delay = absl::Seconds(5);
  stream.body[2].delay = absl::Seconds(2);
  bench.next.Respond(stream);
  Caller first(bench, {});
  bench.loop.Advance(absl::Seconds(10));
  const std::string text = TextOf(stream.body);
  ASSERT_EQ(first.body(), text);

  Caller replay(bench, {});
  bench.loop.RunPending();
  const std::vector<BodyStep> events = stream.body;
  std::string expected = events[0].data;
  EXPECT_EQ(replay.body(), expected) << "nobody waits for the first token again";
  bench.loop.Advance(kStep);
  expected += events[1].data;
  EXPECT_EQ(replay.body(), expected);
  EXPECT_FALSE(replay.response().stream->is_at_event_boundary) << "not known to be";
  bench.loop.Advance(absl::Seconds(2) - kStep);
  EXPECT_EQ(replay.body(), expected);
  bench.loop.Advance(kStep);
  expected += events[2].data;
  EXPECT_EQ(replay.body(), expected);
  bench.loop.Advance(kStep);
  EXPECT_EQ(replay.body(), text);
  EXPECT_TRUE(replay.is_done());
  EXPECT_TRUE(replay.response().stream->is_complete);

  // Who leaves in a pause leaves nothing.
  {
    Caller leaver(bench, {});
    bench.loop.RunPending();
    EXPECT_EQ(bench.loop.armed_timers(), 2u) << "the caller's deadline and the pause";
  }
  EXPECT_TRUE(bench.IsQuiet());
  EXPECT_EQ(bench.next.calls(), 1);
}

TEST(Execution, ReplaysAtOnceWhatCameInOnePiece) {
  FilterBench bench({.policy = {.replay_pace = ReplayPace::kOriginal}});
  bench.next.Respond(SlowAnswer());
  Caller first(bench, {});
  bench.loop.Advance(absl::Seconds(1));
  Caller replay(bench, {});
  bench.loop.RunPending();
  EXPECT_EQ(replay.body(), "onetwothree") << "no stream";
  EXPECT_EQ(replay.Outcome(), "replayed");
}

TEST(Execution, ReplaysNoStreamWithoutItsTerminalEvent) {
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    FilterBench bench({.effects = effects});
    bench.next.RespondAlways(ChatStream(3, /*ends_well=*/false));
    Caller first(bench, {});
    bench.loop.Advance(absl::Seconds(1));
    EXPECT_EQ(first.body(), TextOf(ChatEvents(3, false)));
    EXPECT_FALSE(first.response().stream->is_complete);
    EXPECT_EQ(bench.Keys(State::kDone), 0u);
    EXPECT_EQ(bench.Keys(State::kTombstone), effects == Effects::kUnsafe ? 1u : 0u);
  }
}

TEST(Execution, TellsReadersOfACutStreamWhetherTheyStandBetweenEvents) {
  FilterBench bench;
  const Failure cut{
      .reason = Reason::kUpstreamReset, .phase = Phase::kBody, .executed = Executed::kMaybe};
  ScriptedResponse stream = ChatStream(2, false);
  stream.body.push_back({"", kStep, cut});
  bench.next.Respond(stream);
  Caller between(bench, {.key = "between"});
  bench.loop.Advance(absl::Seconds(1));
  ASSERT_TRUE(between.body_failure().has_value());
  EXPECT_TRUE(between.response().stream->is_at_event_boundary);

  stream.body.insert(stream.body.begin() + 2, {"data: {\"cho", kStep});
  bench.next.Respond(stream);
  Caller inside(bench, {.key = "inside"});
  bench.loop.Advance(absl::Seconds(1));
  ASSERT_TRUE(inside.body_failure().has_value());
  EXPECT_FALSE(inside.response().stream->is_at_event_boundary);
}

// --- Leases of the answer. ---

TEST(Execution, TellsTheAnswersLeasesHowItEnded) {
  struct Seen {
    int ended = 0;
    int destroyed = 0;
    http::StreamOutcome outcome = http::StreamOutcome::kComplete;
  };
  class Watching final : public http::Lease {
   public:
    explicit Watching(Seen& seen) : seen_(seen) {}
    ~Watching() override { ++seen_.destroyed; }
    void OnStreamEnd(http::StreamOutcome outcome) override {
      ++seen_.ended;
      seen_.outcome = outcome;
    }

   private:
    Seen& seen_;
  };
  class Holds final : public chain::Filter {
   public:
    explicit Holds(Seen& seen) : seen_(seen) {}
    Task<http::Result> Call(http::Request& request, chain::Next next) override {
      http::Result result = co_await next(request);
      if (result.ok()) result->Hold(std::make_unique<Watching>(seen_));
      co_return result;
    }

   private:
    Seen& seen_;
  };
  const Failure stall{.reason = Reason::kInterTokenTimeout, .phase = Phase::kBody};
  const Failure cut{.reason = Reason::kUpstreamReset, .phase = Phase::kBody};
  const std::vector<std::pair<std::vector<BodyStep>, http::StreamOutcome>> cases = {
      {{{"all"}}, http::StreamOutcome::kComplete},
      {{{"a"}, {"", kStep, stall}}, http::StreamOutcome::kStall},
      {{{"a"}, {"", kStep, cut}}, http::StreamOutcome::kCut},
  };
  for (const auto& [body, outcome] : cases) {
    Seen seen;
    FilterBench bench;
    bench.chain[1] = std::make_unique<Holds>(seen);
    bench.next.Respond({.status = 200, .body = body});
    Caller first(bench, {});
    bench.loop.Advance(absl::Seconds(1));
    EXPECT_EQ(seen.ended, 1);
    EXPECT_EQ(seen.destroyed, 1);
    EXPECT_EQ(seen.outcome, outcome);
  }
}

TEST(Execution, LeavesNothingBehindWhenItsWorkerEnds) {
  const long blocks = LivePooledBlocks();
  for (Effects effects : {Effects::kNone, Effects::kUnsafe}) {
    for (int ends_after_ms = 0; ends_after_ms < 40; ends_after_ms += 5) {
      FilterBench bench({.effects = effects});
      bench.next.RespondAlways(SlowAnswer());
      { Caller gone(bench, {.key = "gone"}); }
      auto caller = std::make_unique<Caller>(bench, CallerOptions{.key = "here"});
      bench.loop.Advance(absl::Milliseconds(ends_after_ms));
      caller.reset();
    }
  }
  EXPECT_EQ(LivePooledBlocks(), blocks);
}

}  // namespace
}  // namespace outrigger::idempotency
