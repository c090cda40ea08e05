// Token bucket with continuous refill, computed at use: level = min(burst, level + rate·Δt).
//
//   const TokenBucket bucket(rate, 200);
//   TokenBucket::State state = bucket.Fresh(now);
//   Decision decision = bucket.Acquire(state, 1, now);
//   if (!decision.admitted) ...                        // decision.wait
//   bucket.Refund(state, decision.receipt, now);       // it was not executed after all
//
// Bound: in every interval of length T the admitted cost, not counting what was refunded, is at
// most burst + rate·T, exactly. A sender who keeps to that bound is never refused.
//
// Refunds keep the bound because they give back only what is still missing: had the bucket become
// full without the charge, the tokens would have run over. Since the bucket does not remember how
// full it was since each charge, it assumes the most that is possible (no other charge since then),
// which may return less than was paid, never more.
//
// The object holds the limit and is immutable; the state belongs to the caller, who also guards it.
// Time may be coarse and may run back between callers: the bucket keeps the latest it has seen and
// never refills by a negative span.

#pragma once

#include <cstdint>

#include "filters/rate_limit/decision.h"
#include "filters/rate_limit/rate.h"
#include "proxy/base/time.h"

namespace outrigger::rate_limit {

class TokenBucket {
 public:
  struct State {
    int64_t level = 0;      // nano-tokens, from 0 to the burst
    uint64_t refunded = 0;  // nano-tokens ever refunded; wraps
    MonoTime last;          // when `level` was true
    uint32_t remainder = 0;
  };

  // REQUIRES: 1 <= burst <= Rate::kMaxCount.
  TokenBucket(Rate rate, int64_t burst) : rate_(rate), burst_(burst * kNanoTokens) {}

  State Fresh(MonoTime now) const { return {burst_, 0, now, 0}; }
  // REQUIRES: cost >= 0.
  Decision Acquire(State& state, int64_t cost, MonoTime now) const;
  void Refund(State& state, const Receipt& receipt, MonoTime now) const;
  // Since when, or from when on, `state` equals a fresh one if nothing more is charged.
  MonoTime IdleAt(const State& state) const {
    return state.last.PlusNanos(rate_.NanosToBring(burst_ - state.level, state.remainder));
  }
  // Makes a state that `before` has kept follow this limit. Never adds tokens.
  void Adopt(State& state, const TokenBucket& before, MonoTime now) const;

 private:
  void Refill(State& state, MonoTime now) const;

  Rate rate_;
  int64_t burst_;  // nano-tokens
};

}  // namespace outrigger::rate_limit
