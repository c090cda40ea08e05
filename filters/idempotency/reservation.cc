#include "filters/idempotency/reservation.h"

#include "filters/idempotency/table.h"

namespace outrigger::idempotency {

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  table_ = std::exchange(other.table_, nullptr);
  key_ = other.key_;
  effects_ = other.effects_;
  recording_ = std::move(other.recording_);
  key_ttl_ = other.key_ttl_;
  response_ttl_ = other.response_ttl_;
  is_executing_ = other.is_executing_;
  is_settled_ = other.is_settled_;
  return *this;
}

bool Reservation::MarkExecuting() {
  if (is_settled_ || is_executing_) {
    table_->CountIllegal();
    return false;
  }
  is_executing_ = true;
  // Erased by the admin: what runs from here on has no key.
  table_->Apply(key_, *recording_, {State::kExecuting, Cause::kDispatched});
  return true;
}

std::optional<State> Reservation::Complete(MonoTime now) {
  if (recording_->end() != RecordingEnd::kComplete) {
    table_->CountIllegal();
    return std::nullopt;
  }
  if (recording_->overflowed()) return GiveUpBody(now);
  if (!Settle(State::kDone, Cause::kCompleted, now)) return std::nullopt;
  return State::kDone;
}

bool Reservation::Release() { return Settle(State::kAbsent, Cause::kReleased, MonoTime()); }

std::optional<State> Reservation::GiveUpBody(MonoTime now) {
  return SettleUnsafeAs(State::kTombstone, Cause::kNotKept, now);
}

std::optional<State> Reservation::SetUnknown(const UnknownAnswer& answer, MonoTime now) {
  return SettleUnsafeAs(State::kUnknown, Cause::kNoOutcome, now, answer);
}

std::optional<State> Reservation::SettleUnsafeAs(State unsafe_state, Cause cause, MonoTime now,
                                                 const UnknownAnswer& answer) {
  const State to = effects_ == http::Effects::kUnsafe ? unsafe_state : State::kAbsent;
  if (!Settle(to, cause, now, answer)) return std::nullopt;
  return to;
}

bool Reservation::Settle(State to, Cause cause, MonoTime now, const UnknownAnswer& answer) {
  // Everything but a release says that something may have been executed, so it was dispatched.
  if (is_settled_ || (!is_executing_ && to != State::kAbsent)) {
    table_->CountIllegal();
    return false;
  }
  is_settled_ = true;
  KeyTable::Step step{to, cause};
  step.now = now;
  step.key_ttl = key_ttl_;
  step.response_ttl = response_ttl_;
  step.answer = answer;
  return table_->Apply(key_, *recording_, step);
}

void Reservation::Abandon() {
  if (table_ == nullptr) return;
  if (!is_settled_) {
    const bool may_have_run = is_executing_ && effects_ == http::Effects::kUnsafe;
    Settle(may_have_run ? State::kUnknown : State::kAbsent, Cause::kAbandoned, table_->Now());
  }
  if (recording_->end() == RecordingEnd::kRunning) {
    http::Failure failure;
    failure.reason = http::Reason::kUpstreamReset;
    failure.phase = recording_->has_head() ? http::Phase::kBody : http::Phase::kAwaitingHead;
    failure.executed = is_executing_ ? http::Executed::kMaybe : http::Executed::kNo;
    recording_->Fail(failure);
  }
  table_ = nullptr;
}

}  // namespace outrigger::idempotency
