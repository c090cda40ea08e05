// Tries again what failed and may be repeated, after a wait (semantics RT-1 to RT-8).
//
// One loop: an attempt, the outcome table, RetryLoop's decision, the attempt given back
// (connection, permit, buffers), the wait, the next attempt. Responses come back uncommitted, since
// the commit gate inside holds streams until their first content; once one is returned nothing is
// retried.
//
// In the request it
//   - folds `executed` over the attempts and counts `attempt`;
//   - wraps a body that is not in memory into a ReplayBody, which stays there;
//   - adds `x-outrigger-attempts` to the answer when there was more than one or the body was too
//     large to be kept, and `x-outrigger-retries-exhausted` when it is passed on because retries or
//     budget are used up;
//   - writes backoff, retries_exhausted and body_unbuffered into `record`.
//
// One for each route and worker; the budget is the upstream's and shared by all. Dropping the task
// at a wait drops attempt or timer.

#pragma once

#include <memory>

#include "filters/common/outcome.h"
#include "filters/retry/budget.h"
#include "filters/retry/decide.h"
#include "filters/retry/policy.h"
#include "filters/retry/recent_median.h"
#include "filters/retry/replay_body.h"
#include "proxy/base/memory_budget.h"
#include "proxy/base/random.h"
#include "proxy/chain/filter.h"
#include "proxy/event/loop.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::retry {

class RetryFilter final : public chain::Filter {
 public:
  // References are to what lives as long as the worker.
  struct Parts {
    Loop& loop;
    Random& random;
    metrics::WorkerMetrics& metrics;
    metrics::StandardMetrics& standard_metrics;
    log::Logger& log;
    MemoryBudget& memory;
    std::shared_ptr<RetryBudget> budget;
    std::shared_ptr<MemoryBudget> replay_pool;
  };

  RetryFilter(RetryPolicy policy, common::DecideOptions options, Parts parts);

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  // How an attempt went, as the filter's own steps need it.
  struct Attempt {
    AttemptResult result;
    http::Reason reason = http::Reason::kNone;
  };

  bool may_retry() const { return policy_.attempts > 1 || !policy_.causes.empty(); }
  // Null when the body is at hand for any number of attempts, or none is wanted.
  ReplayBody* KeepBody(http::Request& request) const;
  Attempt Examine(const http::Request& request, const http::Result& result,
                  const ReplayBody* replay) const;
  void Learn(const http::Result& result, const Attempt& attempt, MonoTime began);
  void Count(const Attempt& attempt, StopCause stop);
  void Schedule(http::Request& request, const Attempt& attempt, const RetryDecision& decision,
                ReplayBody* replay);
  // The result is returned as it is.
  void Conclude(http::Request& request, http::Result& result, bool is_exhausted,
                ReplayBody* replay) const;

  const RetryPolicy policy_;
  const common::DecideOptions options_;
  const Parts parts_;
  RecentMedian ttft_;
};

}  // namespace outrigger::retry
