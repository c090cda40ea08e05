// Bounds each attempt by the tiers of its route (semantics TO-3 to TO-5): `per_try` until the
// response is passed on, `ttft` until the first content event of a stream, `inter_token` between
// content events. `overall` and `max_stream` are the stream driver's.
//
// Stands inside retry and outside the commit gate, so that what it cuts before the commit can be
// tried again:
//
//   per_try      -> Failure{kPerTryTimeout}, before any response
//   ttft         -> Failure{kTtftTimeout} before the commit, or from Read() behind it
//   inter_token  -> Failure{kInterTokenTimeout} from Read()
//
// `ttft` is measured from the start of the attempt. A request whose Accept names nothing but
// text/event-stream is under it from then on; for any other the answer's head is the first sign of
// a stream, so that a plain answer may take its time. A stream that the gate passes on without
// content is discarded when its time is over by then.
//
// With an AdaptiveLimit, which learns from every stream that is answered with success or cut, that
// is what bounds the first content in place of `ttft`.
//
// A plain answer costs no timer and no wrapper unless `per_try` is set. One worker; dropping the
// task at a wait drops attempt and timers.

#pragma once

#include <memory>

#include "filters/timeout/adaptive_limit.h"
#include "filters/timeout/policy.h"
#include "proxy/chain/filter.h"
#include "proxy/event/deadline_queues.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::timeout {

class TimeoutFilter final : public chain::Filter {
 public:
  // All of the worker; they outlive the filter and the responses that it has passed on.
  struct Parts {
    Loop& loop;
    DeadlineQueues& deadlines;
    metrics::WorkerMetrics& metrics;
    metrics::StandardMetrics& standard_metrics;
    std::shared_ptr<AdaptiveLimit> adaptive;  // null: `ttft` holds
  };

  TimeoutFilter(const TimeoutPolicy& policy, Parts parts);

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  // `ttft` is what holds for this attempt.
  Task<http::Result> Attempt(http::Request& request, chain::Next next, absl::Duration ttft);
  Task<http::Result> BoundedAttempt(http::Request& request, chain::Next next, absl::Duration ttft);
  http::Result WatchStream(http::Response response, MonoTime began, absl::Duration ttft);
  void Count(metrics::TimeoutTier tier);

  const Parts parts_;
  DeadlineQueue& per_try_;
  DeadlineQueue& ttft_;
  DeadlineQueue& inter_token_;
};

// Whether Accept names text/event-stream and nothing else. Clients that also take a plain answer
// have not asked for a stream.
bool AsksForEventStream(const http::HeaderList& headers);

}  // namespace outrigger::timeout
