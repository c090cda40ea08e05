// The filter with `fingerprint: json`: which repetitions get the answer.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/filters/idempotency/filter_support.h"

namespace outrigger::idempotency {
namespace {

using http::Reason;

constexpr char kBody[] = R"({"model":"m","messages":[{"role":"user","content":"hi"}],"user":"a"})";
// The same in another order, with spaces, escapes and another user.
constexpr char kRespelled[] =
    "{\"user\": \"b\", \"messages\": [{\"content\": \"\\u0068i\", \"role\": \"user\"}],\n"
    " \"model\": \"m\"}";
constexpr char kOther[] = R"({"model":"m","messages":[{"role":"user","content":"ho"}],"user":"a"})";

IdempotencyPolicy JsonPolicy(size_t max_bytes = size_t{1} << 20) {
  return {.json = std::make_shared<const JsonRules>(
              JsonRules{.ignored = IgnoredMembers({{"user"}}), .max_bytes = max_bytes})};
}

ScriptedResponse Answer(std::string body = "answer") { return {.body = {{std::move(body)}}}; }

// `body` in two pieces, a millisecond apart.
std::vector<BodyStep> Pieces(const std::string& body) {
  return {{body.substr(0, body.size() / 2)}, {body.substr(body.size() / 2), absl::Milliseconds(1)}};
}

// Takes the request's body before the script answers, as an upstream does.
class TakesBody final : public chain::Filter {
 public:
  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    for (;;) {
      http::ChunkResult chunk = co_await request.body->Read();
      if (!chunk.ok()) co_return chunk.error();
      taken += chunk->data;
      if (chunk->is_last) break;
    }
    co_return co_await next(request);
  }

  std::string taken;
};

TakesBody& TakeBodies(FilterBench& bench) {
  auto filter = std::make_unique<TakesBody>();
  TakesBody& takes = *filter;
  bench.chain[1] = std::move(filter);
  return takes;
}

TEST(JsonBodies, ThatSayTheSameGetOneAnswer) {
  FilterBench bench({.policy = JsonPolicy()});
  bench.next.RespondAlways(Answer());
  Caller first(bench, {.body = kBody});
  bench.loop.RunPending();
  EXPECT_EQ(first.Outcome(), "stored");
  Caller again(bench, {.body = kBody});
  Caller respelled(bench, {.body = kRespelled});
  bench.loop.RunPending();
  EXPECT_EQ(again.Outcome(), "replayed");
  EXPECT_EQ(respelled.Outcome(), "replayed");
  EXPECT_EQ(respelled.body(), "answer");
  EXPECT_EQ(bench.next.calls(), 1);
  EXPECT_TRUE(bench.IsQuiet());
}

TEST(JsonBodies, ThatSayAnotherThingAreRefused) {
  FilterBench bench({.policy = JsonPolicy()});
  bench.next.RespondAlways(Answer());
  Caller first(bench, {.body = kBody});
  bench.loop.RunPending();
  Caller other(bench, {.body = kOther});
  bench.loop.RunPending();
  EXPECT_EQ(other.reason(), Reason::kIdemMismatch);
  EXPECT_EQ(other.failure()->detail, "the key was used with another body");
  EXPECT_EQ(bench.next.calls(), 1);
}

TEST(JsonBodies, AreComparedAlsoWhenTheyComeInPieces) {
  FilterBench bench({.policy = JsonPolicy()});
  TakeBodies(bench);
  bench.next.RespondAlways(Answer());
  Caller first(bench, {.received = Pieces(kBody)});
  EXPECT_GE(bench.budget.used_bytes(), JsonPolicy().json->max_bytes);
  bench.loop.Advance(absl::Milliseconds(1));
  EXPECT_EQ(first.Outcome(), "stored");
  EXPECT_LT(bench.budget.used_bytes(), size_t{100} << 10);
  Caller respelled(bench, {.received = Pieces(kRespelled), .body_length = sizeof(kRespelled) - 1});
  Caller whole(bench, {.body = kRespelled});
  Caller other(bench, {.received = Pieces(kOther)});
  bench.loop.Advance(absl::Milliseconds(1));
  EXPECT_EQ(respelled.Outcome(), "replayed");
  EXPECT_EQ(whole.Outcome(), "replayed");
  EXPECT_EQ(other.reason(), Reason::kIdemMismatch);
}

TEST(JsonBodies, GoUpstreamAsTheyArrive) {
  FilterBench bench({.policy = JsonPolicy()});
  const TakesBody& upstream = TakeBodies(bench);
  bench.next.Respond(Answer());
  Caller first(bench, {.received = {{"{\"a\":"}, {"1}", absl::Seconds(5)}}});
  Caller joiner(bench, {.body = "{ \"a\": 1 }"});
  Caller other(bench, {.body = "{ \"a\": 2 }"});
  bench.loop.RunPending();
  EXPECT_EQ(upstream.taken, "{\"a\":");
  EXPECT_FALSE(joiner.is_done());
  EXPECT_FALSE(other.is_done()) << "it may still become the same";
  bench.loop.Advance(absl::Seconds(5));
  EXPECT_EQ(upstream.taken, "{\"a\":1}");
  EXPECT_EQ(first.body(), "answer");
  EXPECT_EQ(joiner.Outcome(), "joined");
  EXPECT_EQ(joiner.body(), "answer");
  EXPECT_EQ(other.reason(), Reason::kIdemMismatch);
}

TEST(JsonBodies, OfOtherTypesCountByteByByte) {
  FilterBench bench({.policy = JsonPolicy()});
  bench.next.RespondAlways(Answer());
  Caller first(bench, {.body = kBody, .content_type = "text/plain"});
  bench.loop.RunPending();
  Caller same(bench, {.body = kBody, .content_type = "text/plain"});
  Caller respelled(bench, {.body = kRespelled, .content_type = "text/plain"});
  bench.loop.RunPending();
  EXPECT_EQ(same.Outcome(), "replayed");
  EXPECT_EQ(respelled.reason(), Reason::kIdemMismatch);
}

TEST(JsonBodies, CountByteByByteWithoutTheOption) {
  FilterBench bench;
  bench.next.RespondAlways(Answer());
  Caller first(bench, {.body = kBody});
  bench.loop.RunPending();
  Caller respelled(bench, {.body = kRespelled});
  bench.loop.RunPending();
  EXPECT_EQ(respelled.reason(), Reason::kIdemMismatch);
}

TEST(JsonBodies, WithoutAFormCountByteByByte) {
  for (const std::string body :
       {R"({"a": 1, "a": 1})", R"({"seed": 9007199254740993})", R"({"a": "\ud83d"})", R"({"a": )",
        R"({"text": "longer than the limit of this test"})"}) {
    FilterBench bench({.policy = JsonPolicy(/*max_bytes=*/30)});
    bench.next.RespondAlways(Answer());
    Caller first(bench, {.body = body});
    bench.loop.RunPending();
    Caller same(bench, {.received = Pieces(body)});
    Caller spaced(bench, {.body = body + " "});
    bench.loop.Advance(absl::Milliseconds(1));
    EXPECT_EQ(same.Outcome(), "replayed") << body;
    EXPECT_EQ(spaced.reason(), Reason::kIdemMismatch) << body;
    EXPECT_EQ(bench.next.calls(), 1);
  }
}

TEST(JsonBodies, InPiecesAreRefusedBeforeAnythingBeginsWhenMemoryIsShort) {
  FilterBench bench({.policy = JsonPolicy()});
  TakeBodies(bench);
  bench.next.RespondAlways(Answer());
  const size_t taken = bench.budget.limit_bytes() / 100 * 94;
  bench.budget.Charge(taken);
  Caller refused(bench, {.received = Pieces(kBody)});
  bench.loop.Advance(absl::Milliseconds(1));
  EXPECT_EQ(refused.reason(), Reason::kOverloadMemory);
  EXPECT_EQ(bench.next.calls(), 0);
  EXPECT_EQ(bench.keys.Stats().begun, 0u);
  // Who needs no copy, or a small one, is served; so is the same key when there is memory again.
  Caller text(bench, {.key = "t", .received = Pieces(kBody), .content_type = "text/plain"});
  Caller small(bench, {.key = "s", .received = Pieces(kBody), .body_length = sizeof(kBody) - 1});
  Caller whole(bench, {.key = "w", .body = kBody});
  bench.loop.Advance(absl::Milliseconds(1));
  for (Caller* caller : {&text, &small, &whole}) EXPECT_EQ(caller->body(), "answer");
  bench.budget.Release(taken);
  Caller later(bench, {.received = Pieces(kBody)});
  bench.loop.Advance(absl::Milliseconds(1));
  EXPECT_EQ(later.body(), "answer");
}

TEST(JsonBodies, GiveTheirMemoryBackWhenTheClientLeaves) {
  FilterBench bench({.policy = JsonPolicy()});
  bench.next.Hang();
  {
    Caller first(bench, {.received = Pieces(kBody), .body_ends = false});
    Caller joiner(bench, {.received = Pieces(kBody), .body_ends = false});
    bench.loop.Advance(absl::Milliseconds(1));
    EXPECT_GE(bench.budget.used_bytes(), 2 * JsonPolicy().json->max_bytes);
  }
  EXPECT_TRUE(bench.IsQuiet());
  EXPECT_LT(bench.budget.used_bytes(), size_t{100} << 10);
}

TEST(JsonBodies, ThatAreNotProtectedKeepNoCopy) {
  IdempotencyPolicy policy = JsonPolicy();
  policy.on_full = OnFull::kBypass;
  FilterBench bench(
      {.policy = policy, .limits = {.max_keys = 1}, .effects = http::Effects::kUnsafe});
  bench.next.Hang();
  bench.next.Hang();
  Caller first(bench, {.key = "a"});
  const size_t before = bench.budget.used_bytes();
  Caller bypassed(bench, {.key = "b", .received = Pieces(kBody)});
  bench.loop.RunPending();
  EXPECT_EQ(bypassed.request.record.idempotency, "bypassed");
  EXPECT_LT(bench.budget.used_bytes(), before + (size_t{100} << 10));
}

}  // namespace
}  // namespace outrigger::idempotency
