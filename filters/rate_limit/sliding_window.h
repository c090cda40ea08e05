// Two-window sliding counter: what was admitted in the window before counts in proportion to the
// part of it that a window ending now would still cover.
//
//   const SlidingWindow window(rate, 100);             // 100/m with burst 100: windows of a minute
//   SlidingWindow::State state = window.Fresh(now);
//   Decision decision = window.Acquire(state, 1, now);
//
// The window is burst/rate long, W, rounded up to a nanosecond. At the share x of a window a cost
// is admitted when previous·(1-x) + current + cost <= burst.
//
// Bound: in every interval of length T the admitted cost, not counting what was refunded, is at
// most burst + rate·T, exactly. (Let the interval end at x in a window with C admitted so far,
// after a window with P. C <= burst - P·(1-x), so P + C <= burst + P·x <= burst + rate·x·W; and
// each whole window before that adds at most burst = rate·W.)
//
// The price of remembering two numbers: the window before is taken to have been even, so a burst
// at its beginning is held against the sender for up to two windows. Never refused is a sender who
// in every interval T sends at most b + r·T with 2·b + r·W <= burst: for example single requests,
// evenly spaced, at rate·(1 - 2/burst). A token bucket has no such margin.
//
// A refund takes the cost out of the window that it was counted in, as if it had never been there.
//
// The object holds the limit and is immutable; the state belongs to the caller, who also guards it.
// Time may run back between callers: a point before the window counts as its beginning.

#pragma once

#include <cstdint>

#include "filters/rate_limit/decision.h"
#include "filters/rate_limit/rate.h"
#include "proxy/base/time.h"

namespace outrigger::rate_limit {

class SlidingWindow {
 public:
  struct State {
    MonoTime start;        // of the current window
    int64_t previous = 0;  // tokens admitted in the window that ended at `start`
    int64_t current = 0;
  };

  // REQUIRES: 1 <= burst <= Rate::kMaxCount.
  SlidingWindow(Rate rate, int64_t burst)
      : burst_(burst), width_(rate.NanosToBring(burst * kNanoTokens, 0)) {}

  State Fresh(MonoTime now) const { return {now, 0, 0}; }
  // REQUIRES: cost >= 0.
  Decision Acquire(State& state, int64_t cost, MonoTime now) const;
  void Refund(State& state, const Receipt& receipt, MonoTime now) const;
  // Since when, or from when on, `state` equals a fresh one if nothing more is charged.
  MonoTime IdleAt(const State& state) const;
  // Makes a state that `before` has kept follow this limit. What was admitted stays counted.
  void Adopt(State& state, const SlidingWindow& before, MonoTime now) const;

  absl::Duration width() const { return absl::Nanoseconds(width_); }

 private:
  void Advance(State& state, MonoTime now) const;
  // How far into a window `cost` fits, after one with `previous` and with `current` already in it;
  // the width when not in this window.
  int64_t FitsFrom(int64_t previous, int64_t current, int64_t cost) const;

  int64_t burst_;  // tokens
  int64_t width_;  // nanoseconds
};

}  // namespace outrigger::rate_limit
