// Asks the service itself whether it works again, for breakers with `probe: {path: ...}` (BR-4).
//
//   Probers probers(loop, random, log, worker_metrics, standard_metrics);   // of one worker
//   probers.Add(breaker, policy, new_router("app"));      // when chains are built
//   probers.Stop();                     // when drain begins, and before a reload adds them anew
//
// When an open breaker's time is over, its path is asked by GET, one probe at a time, and each
// answer is a verdict: 200 to 399 and a whole body is good, everything else and silence for longer
// than `probe.timeout` is bad. A good one is followed by the next at once until the breaker closes
// (`successes_to_close`). A probe that could not be sent for a reason of our own is no verdict and
// is tried again. Requests of clients are refused meanwhile.
//
// Probes go through the end of the chain alone: no filter, no request metrics, no access log. They
// take a slot of the upstream's concurrency limit like every attempt.
//
// Whether a breaker has opened is looked up a few times per open time, so that neither a transition
// nor an operator's override has to be told to anybody. One worker, which owns the probes of the
// whole process; everything given to the constructor outlives this object, and so does what the
// routers use. A probe under way when it stops is cancelled and counts nothing.

#pragma once

#include <memory>
#include <vector>

#include "filters/breaker/breaker.h"
#include "filters/breaker/policy.h"
#include "proxy/base/random.h"
#include "proxy/chain/filter.h"
#include "proxy/coro/task_scope.h"
#include "proxy/event/loop.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::breaker {

class Probers {
 public:
  Probers(Loop& loop, Random& random, log::Logger& log, metrics::WorkerMetrics& metrics,
          metrics::StandardMetrics& standard_metrics);
  ~Probers();
  Probers(const Probers&) = delete;
  Probers& operator=(const Probers&) = delete;

  // `service` takes the probes' requests. A breaker that is probed already is left as it is: one
  // that stands in several chains is added for each.
  // REQUIRES: `policy.probe.path` is set.
  void Add(std::shared_ptr<Breaker> breaker, const Policy& policy,
           std::unique_ptr<chain::Filter> service);
  // From the loop. Nothing is probed any more, until breakers are added anew.
  void Stop();

 private:
  class Prober;

  Loop& loop_;
  Random& random_;
  log::Logger& log_;
  metrics::WorkerMetrics& metrics_;
  metrics::StandardMetrics& standard_metrics_;
  std::vector<std::unique_ptr<Prober>> probers_;
  TaskScope scope_;  // ends before what its tasks use
};

}  // namespace outrigger::breaker
