// One limit of any algorithm, and the state of one bucket under it.
//
//   const Limit limit(Algorithm::kTokenBucket, rate, 200);
//   BucketState state = limit.Fresh(now);
//   Decision decision = limit.Acquire(state, 1, now);
//
// The calls mean the same as those of TokenBucket, LeakyBucket and SlidingWindow, which see. A
// state may only be given to a limit of the algorithm that made it.

#pragma once

#include <cstdint>
#include <variant>

#include "filters/rate_limit/decision.h"
#include "filters/rate_limit/leaky_bucket.h"
#include "filters/rate_limit/policy.h"
#include "filters/rate_limit/sliding_window.h"
#include "filters/rate_limit/token_bucket.h"

namespace outrigger::rate_limit {

// Which member is in use follows from the limit, so that ten thousand states need no tag each.
union BucketState {
  BucketState() : token() {}

  TokenBucket::State token;
  LeakyBucket::State leaky;
  SlidingWindow::State window;
};

class Limit {
 public:
  // REQUIRES: 1 <= burst <= Rate::kMaxCount.
  Limit(Algorithm algorithm, Rate rate, int64_t burst);

  BucketState Fresh(MonoTime now) const;
  Decision Acquire(BucketState& state, int64_t cost, MonoTime now) const;
  void Refund(BucketState& state, const Receipt& receipt, MonoTime now) const;
  MonoTime IdleAt(const BucketState& state) const;
  // Makes a state kept under `before` follow this limit, never adding tokens.
  // REQUIRES: both have the same algorithm.
  void Adopt(BucketState& state, const Limit& before, MonoTime now) const;

  Algorithm algorithm() const { return static_cast<Algorithm>(core_.index()); }

 private:
  // In the order of Algorithm.
  std::variant<TokenBucket, LeakyBucket, SlidingWindow> core_;
};

}  // namespace outrigger::rate_limit
