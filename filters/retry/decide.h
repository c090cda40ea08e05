// Whether to try again, and when (semantics RT-1, RT-4, RT-7, RT-8). No IO: the filter asks after
// every attempt and does what it is told.
//
//   budget.RecordFirstAttempt(now);
//   RetryLoop loop(policy, budget, CallerAttempt(request.headers), random);
//   for (;;) {
//     ... one attempt ...
//     const RetryDecision decision = loop.AfterAttempt({.event = event, .verdict = verdict, ...},
//     now); if (!decision.is_retry) break;
//     ... discard the result, sleep decision.wait ...
//   }
//
// The budget is asked last, so that nothing is withdrawn for a retry that does not happen. One
// RetryLoop for each request; policy, budget and random outlive it. One worker.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "filters/common/outcome.h"
#include "filters/retry/backoff.h"
#include "filters/retry/budget.h"
#include "filters/retry/policy.h"
#include "filters/retry/retry_after.h"
#include "proxy/base/random.h"
#include "proxy/base/time.h"
#include "proxy/http/headers.h"

namespace outrigger::retry {

// Why there is no further attempt.
enum class StopCause : uint8_t {
  kNone,            // there is one
  kNotRetryable,    // the outcome table: success, an answer, unsafe work that may have run
  kCommitted,       // bytes of the response have reached the client
  kForbidden,       // x-should-retry: false, or negative pushback
  kBodyNotKept,     // the request body was too large to be kept for another attempt
  kInnerExhausted,  // x-outrigger-retries-exhausted: a proxy behind this one retries already (RT-7)
  kAttempts,        // all retries are used up
  kCallerRetries,   // the caller retries itself, so fewer are left (RT-7)
  kAskedWait,       // the wait asked for does not fit: pass the response on
  kDeadline,        // no time left for another attempt (RT-8)
  kBudget,          // the upstream's retries of this window are used up (RT-3)
};

// A stable word for logs and metrics.
std::string_view StopCauseName(StopCause cause);
// Whether the reply has to say `x-outrigger-retries-exhausted: 1` (RT-7).
constexpr bool IsExhausted(StopCause cause) {
  return cause == StopCause::kAttempts || cause == StopCause::kCallerRetries ||
         cause == StopCause::kBudget;
}

struct AttemptResult {
  common::Event event = common::Event::kSuccess;
  common::Verdict verdict;
  int status = 0;  // 0: there was no response
  RetryHint hint;
  bool is_committed = false;
  bool is_body_kept = true;
  // The response carried x-outrigger-retries-exhausted.
  bool is_inner_exhausted = false;
  // The proxy holds a credential that it can renew (a 401 may then be tried once more).
  bool holds_credential = false;
  absl::Duration remaining = absl::InfiniteDuration();  // until the deadline
  absl::Duration p50_ttft = absl::ZeroDuration();       // of the route; zero: unknown
};

struct RetryDecision {
  bool is_retry = false;
  StopCause stop = StopCause::kNone;
  absl::Duration wait = absl::ZeroDuration();
  // Nothing was withdrawn for it.
  bool is_free = false;
  // Not on a connection that was kept alive.
  bool needs_new_connection = false;
};

class RetryLoop {
 public:
  // `caller_attempt`: see CallerAttempt.
  RetryLoop(const RetryPolicy& policy, RetryBudget& budget, int caller_attempt, Random& random);

  RetryDecision AfterAttempt(const AttemptResult& result, MonoTime now);

  // Attempts made so far, the next one included once it was granted.
  int attempts() const { return attempts_; }

 private:
  struct Cause {
    const CauseOverride* rule;
    int retries = 0;
    Backoff backoff;
  };

  Cause* FindCause(const AttemptResult& result);
  // Whether the outcome table alone would allow it.
  bool IsAllowed(const AttemptResult& result) const;
  bool IsFree(common::RetryRule rule) const;
  StopCause LimitReached(const Cause* cause) const;

  const RetryPolicy& policy_;
  RetryBudget& budget_;
  const int caller_attempt_;
  Random& random_;
  Backoff backoff_;
  // For refusals that ask for patience without saying how much.
  Backoff throttled_backoff_;
  // Overrides that have been used; empty for almost every request.
  std::vector<Cause> causes_;
  int attempts_ = 1;
  int retries_ = 0;      // granted, without free and overridden ones
  int all_retries_ = 0;  // granted, without free ones
  bool is_free_used_ = false;
  bool is_credential_used_ = false;
};

// Which attempt of its own the caller is on, from x-stainless-retry-count, x-envoy-attempt-count,
// grpc-previous-rpc-attempts and x-outrigger-attempt; 1 when none is usable. The highest counts.
int CallerAttempt(const http::HeaderList& request_headers);

}  // namespace outrigger::retry
