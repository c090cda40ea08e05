// Keeps requests away from a service that fails, and finds out when it works again.
//
//   BreakerFilter filter({.loop = loop, .log = log, .metrics = worker, .counters = counters},
//                        shared.breakers().Get(ScopeId("app", "chat"), policy, now),
//                        {.slow_ttft = policy.slow.ttft, .overall_timeout = ...});
//
// Stands inside retry, so that each attempt asks for its own permit. While the breaker is open the
// answer is `breaker_open` with the time to the next probe, and nothing is sent. An attempt is
// judged by the one classifier (filters/common/outcome.h) when its head is known, a stream at its
// first content event; what happens to the body later can still add a failure (attempt.h).
//
// Throttle gate (BR-5): after a 429 that asks to wait, requests of the same scope are answered
// `throttled` until then. Nothing of it touches the breaker.
//
// In shadow mode nothing is refused; the breaker goes through its states, which metrics and log
// show, and each attempt that would have been refused is counted (mode="shadow") and logged at
// level debug.
//
// One worker; breaker and gate are shared. The gate outlives the filter.

#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "filters/breaker/attempt.h"
#include "filters/breaker/breaker.h"
#include "filters/breaker/throttle_gate.h"
#include "proxy/chain/filter.h"
#include "proxy/event/loop.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::breaker {

class BreakerFilter final : public chain::Filter {
 public:
  struct Throttle {
    ThrottleGate* gate = nullptr;  // null: off
    // Names what the answer holds back, by a keyed hash.
    std::function<uint64_t(const http::Request&)> scope;
    // The wait that the answer asks for; zero: none.
    std::function<absl::Duration(const http::Response&)> asked_wait;
  };
  struct Options {
    Mode mode = Mode::kEnforce;
    absl::Duration slow_ttft = absl::Seconds(30);
    // The route's own limit for the whole request, to tell it from a shorter one of the caller.
    absl::Duration overall_timeout = absl::InfiniteDuration();
    Throttle throttle;
  };

  // What the filter is made with; all of it outlives the filter.
  struct Parts {
    Loop& loop;
    log::Logger& log;
    metrics::WorkerMetrics& metrics;
    metrics::BreakerMetrics& counters;  // of the breaker's id
  };

  BreakerFilter(const Parts& parts, std::shared_ptr<Breaker> breaker, Options options);

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  // What to answer in place of trying; sets `permit` when there is none.
  std::optional<http::Failure> Admit(const http::Request& request, Permit& permit);
  std::optional<http::Failure> Refuse(const http::Request& request, http::Reason reason,
                                      absl::Duration wait);
  MonoTime RouteDeadline(const http::Request& request) const;
  // A deadline that the caller itself has set.
  bool HasCallersDeadlinePassed(const http::Request& request) const;
  void JudgeHead(const http::Request& request, Attempt attempt, http::Response& response);

  Loop& loop_;
  log::Logger& log_;
  metrics::WorkerMetrics& metrics_;
  metrics::BreakerMetrics& counters_;
  const std::shared_ptr<Breaker> breaker_;
  const Options options_;
  const int64_t overall_nanos_;  // options_.overall_timeout, for every request
};

}  // namespace outrigger::breaker
