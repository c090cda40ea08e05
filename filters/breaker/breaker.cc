#include "filters/breaker/breaker.h"

#include <utility>

namespace outrigger::breaker {

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    Abandon();
    breaker_ = std::exchange(other.breaker_, nullptr);
    ticket_ = other.ticket_;
    judged_ = other.judged_;
  }
  return *this;
}

void Permit::Record(Outcome outcome, bool slow, MonoTime now) {
  if (breaker_ == nullptr || std::exchange(judged_, true)) return;
  std::optional<Transition> transition;
  {
    const std::lock_guard lock(breaker_->mutex_);
    transition = breaker_->core_.Record(ticket_, outcome, slow, now);
    breaker_->PublishState();
  }
  breaker_->Report(transition);
}

void Permit::RecordLateFailure(MonoTime now) {
  if (breaker_ == nullptr || !judged_) return;
  std::optional<Transition> transition;
  {
    const std::lock_guard lock(breaker_->mutex_);
    transition = breaker_->core_.AddLateFailure(ticket_, now);
    breaker_->PublishState();
  }
  // Once only.
  std::exchange(breaker_, nullptr)->Report(transition);
}

void Permit::GiveUp() {
  const std::shared_ptr<Breaker> breaker = std::exchange(breaker_, nullptr);
  if (judged_ || !ticket_.is_probe) return;
  const std::lock_guard lock(breaker->mutex_);
  breaker->core_.Abandon(ticket_);
}

std::shared_ptr<Breaker> Breaker::Create(std::string id, const Policy& policy, uint64_t seed,
                                         MonoTime now, TransitionListener listener) {
  return std::shared_ptr<Breaker>(
      new Breaker(std::move(id), policy, seed, now, std::move(listener)));
}

Breaker::Breaker(std::string id, const Policy& policy, uint64_t seed, MonoTime now,
                 TransitionListener listener)
    : id_(std::move(id)), listener_(std::move(listener)), core_(policy, seed, now) {
  PublishState();
}

void Breaker::PublishState() {
  const std::optional<Ticket> ticket = core_.closed_ticket();
  closed_epoch_.store(ticket.has_value() ? ticket->epoch + 1 : 0, std::memory_order_relaxed);
}

Expected<Permit, Rejection> Breaker::TryAcquire(MonoTime now) {
  // A breaker that opens at this moment lets one more through, as if that had come just before.
  if (const uint64_t epoch = closed_epoch_.load(std::memory_order_relaxed); epoch != 0) {
    return Permit(shared_from_this(), Ticket{epoch - 1, false});
  }
  Admission admission;
  {
    const std::lock_guard lock(mutex_);
    admission = core_.TryAcquire(now);
    PublishState();
  }
  return Answer(admission);
}

Expected<Permit, Rejection> Breaker::TryAcquireProbe(MonoTime now) {
  Admission admission;
  {
    const std::lock_guard lock(mutex_);
    admission = core_.TryAcquireProbe(now);
    PublishState();
  }
  return Answer(admission);
}

void Breaker::SetOverride(Override override, MonoTime now) {
  std::optional<Transition> transition;
  {
    const std::lock_guard lock(mutex_);
    transition = core_.SetOverride(override, now);
    PublishState();
  }
  Report(transition);
}

void Breaker::SetPolicy(const Policy& policy, MonoTime now) {
  const std::lock_guard lock(mutex_);
  core_.SetPolicy(policy, now);
}

Snapshot Breaker::TakeSnapshot(MonoTime now) {
  const std::lock_guard lock(mutex_);
  return core_.TakeSnapshot(now);
}

Expected<Permit, Rejection> Breaker::Answer(const Admission& admission) {
  Report(admission.transition);
  if (!admission.admitted) return Rejection{admission.retry_after};
  return Permit(shared_from_this(), admission.ticket);
}

void Breaker::Report(const std::optional<Transition>& transition) {
  if (transition.has_value() && listener_ != nullptr) listener_(*this, *transition);
}

}  // namespace outrigger::breaker
