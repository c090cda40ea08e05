#include "filters/rate_limit/limit.h"

#include <type_traits>
#include <utility>

namespace outrigger::rate_limit {
namespace {

using Core = std::variant<TokenBucket, LeakyBucket, SlidingWindow>;

Core MakeCore(Algorithm algorithm, Rate rate, int64_t burst) {
  switch (algorithm) {
    case Algorithm::kLeakyBucket:
      return LeakyBucket(rate, burst);
    case Algorithm::kSlidingWindow:
      return SlidingWindow(rate, burst);
    case Algorithm::kTokenBucket:
      break;
  }
  return TokenBucket(rate, burst);
}

// Calls `body` with the algorithm and the member of the union that belongs to it.
template <class State, class Body>
auto With(const Core& core, State& state, Body body) {
  if (const auto* token = std::get_if<TokenBucket>(&core)) return body(*token, state.token);
  if (const auto* leaky = std::get_if<LeakyBucket>(&core)) return body(*leaky, state.leaky);
  return body(*std::get_if<SlidingWindow>(&core), state.window);
}

}  // namespace

Limit::Limit(Algorithm algorithm, Rate rate, int64_t burst)
    : core_(MakeCore(algorithm, rate, burst)) {}

BucketState Limit::Fresh(MonoTime now) const {
  BucketState state;
  With(core_, state, [&](const auto& core, auto& member) { member = core.Fresh(now); });
  return state;
}

Decision Limit::Acquire(BucketState& state, int64_t cost, MonoTime now) const {
  return With(core_, state,
              [&](const auto& core, auto& member) { return core.Acquire(member, cost, now); });
}

void Limit::Refund(BucketState& state, const Receipt& receipt, MonoTime now) const {
  With(core_, state, [&](const auto& core, auto& member) { core.Refund(member, receipt, now); });
}

MonoTime Limit::IdleAt(const BucketState& state) const {
  return With(core_, state,
              [](const auto& core, const auto& member) { return core.IdleAt(member); });
}

void Limit::Adopt(BucketState& state, const Limit& before, MonoTime now) const {
  With(core_, state, [&](const auto& core, auto& member) {
    using Same = std::decay_t<decltype(core)>;
    core.Adopt(member, *std::get_if<Same>(&before.core_), now);
  });
}

}  // namespace outrigger::rate_limit
