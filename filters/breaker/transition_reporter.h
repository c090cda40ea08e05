// Counts and logs what the breakers do (BR-8): outrigger_breaker_transitions_total and the log
// event `breaker_transition`.
//
//   TransitionReporter reporter(registry, standard_metrics, logs.shared());
//   options.on_breaker_transition = [&reporter](Breaker& breaker, const Transition& transition) {
//     reporter.Report(breaker, transition);
//   };
//
// Transitions happen on any worker and on the admin thread, and seldom: a mutex makes all of them
// one writer of numbers of their own. Outlives the breakers; what it is made with outlives it.

#pragma once

#include <mutex>

#include "filters/breaker/breaker.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::breaker {

class TransitionReporter {
 public:
  // `log` is one that any thread may use.
  TransitionReporter(metrics::Registry& registry, metrics::StandardMetrics& standard_metrics,
                     log::Logger& log);

  // Any thread.
  void Report(const Breaker& breaker, const Transition& transition);

 private:
  metrics::StandardMetrics& standard_metrics_;
  log::Logger& log_;
  std::mutex mutex_;                 // the right to write to numbers_
  metrics::WorkerMetrics& numbers_;  // owned by the registry
};

}  // namespace outrigger::breaker
