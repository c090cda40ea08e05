#include "filters/rate_limit/leaky_bucket.h"

#include <algorithm>

namespace outrigger::rate_limit {

void LeakyBucket::Drain(State& state, MonoTime now) const {
  if (now <= state.last) return;
  const int64_t elapsed = now.nanos() - state.last.nanos();
  state.level -= rate_.Accrue(elapsed, state.level, &state.remainder);
  state.last = now;
}

Decision LeakyBucket::Acquire(State& state, int64_t cost, MonoTime now) const {
  Drain(state, now);
  Decision decision;
  // Above zero also after a reload that shortened the line.
  const int64_t excess =
      cost > burst_ / kNanoTokens ? 0 : state.level + cost * kNanoTokens - burst_;
  if (cost > burst_ / kNanoTokens) {
    decision.wait = absl::InfiniteDuration();
  } else if (excess > 0) {
    decision.wait = state.last.PlusNanos(rate_.NanosToBring(excess, state.remainder)) - now;
  } else {
    decision.admitted = true;
    decision.delay = IdleAt(state) - now;
    state.level += cost * kNanoTokens;
    ++state.line;
    decision.receipt = {.at = state.last, .mark = state.line, .cost = cost};
  }
  decision.remaining = std::max<int64_t>(0, burst_ - state.level) / kNanoTokens;
  decision.reset = IdleAt(state) - now;
  return decision;
}

void LeakyBucket::Refund(State& state, const Receipt& receipt, MonoTime now) const {
  Drain(state, now);
  if (receipt.mark != static_cast<int64_t>(state.line)) return;
  --state.line;  // the one before is the last in line now
  state.level -= std::min(state.level, receipt.cost * kNanoTokens);
  if (state.level == 0) state.remainder = 0;
}

void LeakyBucket::Adopt(State& state, const LeakyBucket& before, MonoTime now) const {
  before.Drain(state, now);
  state.remainder = 0;
}

}  // namespace outrigger::rate_limit
