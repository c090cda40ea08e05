// How long to wait before the next attempt (semantics RT-2).
//
//   Backoff backoff(policy.backoff, random);
//   absl::Duration first = backoff.Next();   // before the second attempt
//
// Kinds, with n = 0 for the first wait and window = min(cap, base * 2^n):
//   fixed         base
//   exponential   window
//   full_jitter   U(0, window)
//   equal_jitter  window * U(jitter_floor, 1)
//   decorrelated  min(cap, U(base, 3 * previous wait)), the first from U(base, 3 * base)
//
// One Backoff for each request; `random` must outlive it. One worker.

#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "proxy/base/random.h"

namespace outrigger::retry {

enum class BackoffKind : uint8_t { kFixed, kExponential, kFullJitter, kEqualJitter, kDecorrelated };

struct BackoffPolicy {
  BackoffKind kind = BackoffKind::kFullJitter;
  absl::Duration base = absl::Milliseconds(25);
  absl::Duration cap = absl::Seconds(1);
  // Of equal_jitter: the least part of the window that is always waited.
  double jitter_floor = 0.5;

  friend bool operator==(const BackoffPolicy&, const BackoffPolicy&) = default;
};

// For a service in the same pod or cluster.
inline BackoffPolicy LocalBackoff() { return {}; }
// What the OpenAI and Anthropic SDKs do towards their APIs.
inline BackoffPolicy ProviderBackoff() {
  return {BackoffKind::kEqualJitter, absl::Milliseconds(500), absl::Seconds(8), 0.75};
}

class Backoff {
 public:
  Backoff(const BackoffPolicy& policy, Random& random) : policy_(policy), random_(random) {}

  absl::Duration Next();

 private:
  // min(cap, base * 2^n) for the n-th wait; counts up.
  absl::Duration NextWindow();

  BackoffPolicy policy_;
  Random& random_;
  int waits_ = 0;
  absl::Duration previous_ = absl::ZeroDuration();
};

}  // namespace outrigger::retry
