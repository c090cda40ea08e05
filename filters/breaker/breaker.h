// One circuit breaker, shared by all workers.
//
//   Expected<Permit, Rejection> permit = breaker->TryAcquire(loop.Now());
//   if (!permit.ok()) ...                                  // permit.error().retry_after
//   ...
//   permit->Record(Outcome::kSuccess, /*slow=*/false, loop.Now());
//   response.Hold(std::move(permit).value());              // permit->RecordLateFailure() if cut
//
// A permit shares ownership of its breaker, so that it may outlive the configuration it came from.
// Dropping one without a verdict (the client left, the task was cancelled) frees a probe's place
// and counts nothing.
//
// Thread-safe: a mutex around BreakerCore, see there for the meaning of each call. The listener is
// called after the mutex is released, on the thread that caused the transition, and must be safe to
// call from all of them; it may look at the breaker.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "filters/breaker/breaker_core.h"
#include "proxy/base/expected.h"

namespace outrigger::breaker {

class Breaker;

using TransitionListener = std::function<void(Breaker&, const Transition&)>;

struct Rejection {
  absl::Duration retry_after;
};

// The right to one try. Movable, not copyable; used by one thread at a time.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept = default;
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { Abandon(); }

  // The first verdict counts, later ones have no effect.
  void Record(Outcome outcome, bool slow, MonoTime now);
  // After a verdict: the stream was cut.
  void RecordLateFailure(MonoTime now);
  void Abandon() {
    if (breaker_ != nullptr) GiveUp();
  }

  bool is_probe() const { return ticket_.is_probe; }

 private:
  friend class Breaker;
  Permit(std::shared_ptr<Breaker> breaker, Ticket ticket)
      : breaker_(std::move(breaker)), ticket_(ticket) {}

  void GiveUp();

  std::shared_ptr<Breaker> breaker_;
  Ticket ticket_;
  bool judged_ = false;
};

class Breaker : public std::enable_shared_from_this<Breaker> {
 public:
  static std::shared_ptr<Breaker> Create(std::string id, const Policy& policy, uint64_t seed,
                                         MonoTime now, TransitionListener listener = nullptr);
  Breaker(const Breaker&) = delete;
  Breaker& operator=(const Breaker&) = delete;

  Expected<Permit, Rejection> TryAcquire(MonoTime now);
  Expected<Permit, Rejection> TryAcquireProbe(MonoTime now);
  void SetOverride(Override override, MonoTime now);
  void SetPolicy(const Policy& policy, MonoTime now);
  Snapshot TakeSnapshot(MonoTime now);

  const std::string& id() const { return id_; }

 private:
  friend class Permit;

  Breaker(std::string id, const Policy& policy, uint64_t seed, MonoTime now,
          TransitionListener listener);

  Expected<Permit, Rejection> Answer(const Admission& admission);
  // REQUIRES: mutex_ is held.
  void PublishState();
  void Report(const std::optional<Transition>& transition);

  const std::string id_;
  const TransitionListener listener_;
  // While closed: the epoch of tickets, plus one; else 0. Written with the mutex held. Lets a
  // closed breaker admit without it.
  std::atomic<uint64_t> closed_epoch_{0};
  std::mutex mutex_;
  BreakerCore core_;  // guarded by mutex_
};

}  // namespace outrigger::breaker
