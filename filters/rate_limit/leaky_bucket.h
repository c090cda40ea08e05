// Leaky bucket as a queue: lets requests through evenly, one cost each cost/rate, and up to `burst`
// of them, the one just leaving included, wait their turn.
//
//   const LeakyBucket bucket(rate, 20);
//   LeakyBucket::State state = bucket.Fresh(now);
//   Decision decision = bucket.Acquire(state, 1, now);
//   if (decision.admitted) ...                          // sleep for decision.delay, then go on
//
// Every admitted request owns a stretch of time as long as its cost takes to drain; the stretches
// do not overlap and begin where `delay` ends, at most burst/rate after the decision. Hence the
// bounds, not counting what was refunded, for every interval of length T:
//   - let through (decision plus delay): at most rate·T and one request, to the nanosecond;
//   - admitted (the decision): at most burst + rate·T, exactly.
// A sender whose requests keep to burst + rate·T is never refused.
//
// Only the last in line can be refunded: a place in the middle of the line has gone by when it
// turns out unused, and those behind it were already told when to go.
//
// The object holds the limit and is immutable; the state belongs to the caller, who also guards it.
// Time may run back between callers: the bucket keeps the latest it has seen.

#pragma once

#include <cstdint>

#include "filters/rate_limit/decision.h"
#include "filters/rate_limit/rate.h"
#include "proxy/base/time.h"

namespace outrigger::rate_limit {

class LeakyBucket {
 public:
  struct State {
    int64_t level = 0;  // nano-tokens still to drain, from 0 to the burst
    MonoTime last;      // when `level` was true
    uint32_t remainder = 0;
    uint32_t line = 0;  // number of the last in line
  };

  // REQUIRES: 1 <= burst <= Rate::kMaxCount.
  LeakyBucket(Rate rate, int64_t burst) : rate_(rate), burst_(burst * kNanoTokens) {}

  State Fresh(MonoTime now) const { return {0, now, 0, 0}; }
  // REQUIRES: cost >= 0.
  Decision Acquire(State& state, int64_t cost, MonoTime now) const;
  void Refund(State& state, const Receipt& receipt, MonoTime now) const;
  // Since when, or from when on, `state` equals a fresh one if nothing more is charged.
  MonoTime IdleAt(const State& state) const {
    return state.last.PlusNanos(rate_.NanosToBring(state.level, state.remainder));
  }
  // Makes a state that `before` has kept follow this limit. The line stays as long as it is.
  void Adopt(State& state, const LeakyBucket& before, MonoTime now) const;

 private:
  void Drain(State& state, MonoTime now) const;

  Rate rate_;
  int64_t burst_;  // nano-tokens
};

}  // namespace outrigger::rate_limit
