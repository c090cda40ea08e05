// `readiness.flip_on: [breaker]`: the pod is unready while a breaker refuses what comes (HL-4).
//
//   BreakerReadiness readiness(shared.breakers(), absl::Seconds(30));
//   health.SetReadyCheck("breakers", [&] { return readiness.Problem(CoarseNow()); });
//
// Only breakers count that would refuse every request now: open before the time of their next
// probe, or not closed when they are probed by path. One that waits for a client's request as its
// probe must get it, so the pod is ready again by then. After `max_unready_for` without a break it
// is ready whatever the breakers say, or a failure of the whole fleet would leave nobody to try.
//
// Any thread; the breakers outlive it.

#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "filters/breaker/breaker_registry.h"

namespace outrigger::server {

class BreakerReadiness {
 public:
  BreakerReadiness(breaker::BreakerRegistry& breakers, absl::Duration max_unready_for)
      : breakers_(breakers), max_unready_for_(max_unready_for) {}

  // Why the pod is unready; empty: it is not.
  std::string Problem(MonoTime now);

 private:
  breaker::BreakerRegistry& breakers_;
  const absl::Duration max_unready_for_;
  std::mutex mutex_;
  std::optional<MonoTime> since_;  // guarded by mutex_; when a breaker was first seen refusing
};

}  // namespace outrigger::server
