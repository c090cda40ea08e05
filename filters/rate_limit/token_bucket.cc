#include "filters/rate_limit/token_bucket.h"

#include <algorithm>

namespace outrigger::rate_limit {

void TokenBucket::Refill(State& state, MonoTime now) const {
  if (now <= state.last) return;
  const int64_t elapsed = now.nanos() - state.last.nanos();
  state.level += rate_.Accrue(elapsed, burst_ - state.level, &state.remainder);
  state.last = now;
}

Decision TokenBucket::Acquire(State& state, int64_t cost, MonoTime now) const {
  Refill(state, now);
  Decision decision;
  if (cost > burst_ / kNanoTokens) {
    decision.wait = absl::InfiniteDuration();
  } else if (const int64_t missing = cost * kNanoTokens - state.level; missing > 0) {
    decision.wait = state.last.PlusNanos(rate_.NanosToBring(missing, state.remainder)) - now;
  } else {
    decision.admitted = true;
    state.level = -missing;
    // Rounded up by what is carried, so that Refund() errs towards a higher level.
    const uint64_t ceiling = static_cast<uint64_t>(state.level) + (state.remainder > 0 ? 1 : 0);
    decision.receipt = {
        .at = state.last, .mark = static_cast<int64_t>(ceiling - state.refunded), .cost = cost};
  }
  decision.remaining = state.level / kNanoTokens;
  decision.reset = IdleAt(state) - now;
  return decision;
}

void TokenBucket::Refund(State& state, const Receipt& receipt, MonoTime now) const {
  Refill(state, now);
  if (receipt.at > state.last) return;
  // The highest level that is possible since the charge, rounded up.
  uint32_t remainder = rate_.denominator() - 1;
  const int64_t accrued = rate_.Accrue(state.last.nanos() - receipt.at.nanos(), burst_, &remainder);
  const auto peak =
      accrued + static_cast<int64_t>(static_cast<uint64_t>(receipt.mark) + state.refunded);
  const int64_t returned = std::clamp<int64_t>(burst_ - peak, 0, receipt.cost * kNanoTokens);
  state.level += returned;
  state.refunded += static_cast<uint64_t>(returned);
}

void TokenBucket::Adopt(State& state, const TokenBucket& before, MonoTime now) const {
  before.Refill(state, now);
  state.level = std::min(state.level, burst_);
  state.remainder = 0;
}

}  // namespace outrigger::rate_limit
