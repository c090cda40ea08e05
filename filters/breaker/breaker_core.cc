#include "filters/breaker/breaker_core.h"

#include <algorithm>

#include "proxy/base/random.h"

namespace outrigger::breaker {
namespace {

constexpr absl::Duration kProbeUnderWayRetry = absl::Seconds(1);
constexpr absl::Duration kForgetDoublingsAfter = absl::Seconds(60);

}  // namespace

BreakerCore::BreakerCore(const Policy& policy, uint64_t seed, MonoTime now)
    : policy_(policy), seed_(seed), window_(policy.window, now), latest_(now), closed_since_(now) {}

Admission BreakerCore::TryAcquire(MonoTime now) {
  now = Seen(now);
  if (state_ == State::kClosed) return {.admitted = true, .ticket = {epoch_, false}};
  if (policy_.probe.path.empty()) return AdmitProbe(MonoTime::Infinite(), now);
  std::optional<Transition> transition = FailOverdueProbe(now);
  return {.retry_after = RetryAfter(now), .transition = transition};
}

Admission BreakerCore::TryAcquireProbe(MonoTime now) {
  now = Seen(now);
  if (state_ == State::kClosed) return {};
  return AdmitProbe(now + policy_.probe.timeout, now);
}

Admission BreakerCore::AdmitProbe(MonoTime deadline, MonoTime now) {
  std::optional<Transition> transition = FailOverdueProbe(now);
  if (override_ == Override::kAuto && state_ == State::kOpen && now >= open_until_) {
    transition = Change(State::kHalfOpen, Cause::kOpenTimeOver, now);
  }
  if (state_ == State::kOpen || probe_under_way_) {
    return {.retry_after = RetryAfter(now), .transition = transition};
  }
  probe_under_way_ = true;
  probe_deadline_ = deadline;
  return {.admitted = true, .ticket = {epoch_, true}, .transition = transition};
}

std::optional<Transition> BreakerCore::Record(Ticket ticket, Outcome outcome, bool slow,
                                              MonoTime now) {
  now = Seen(now);
  std::optional<Transition> transition = FailOverdueProbe(now);
  if (ticket.epoch != epoch_) return transition;
  if (outcome == Outcome::kThrottled) slow = false;  // an early "not now" is not a slow answer
  if (state_ == State::kHalfOpen) return JudgeProbe(outcome, slow, now);
  switch (outcome) {
    case Outcome::kSuccess:
      consecutive_ = 0;
      return Count({.samples = 1, .failures = 0, .timed = 1, .slow = slow ? 1 : 0}, now);
    case Outcome::kFailure:
      ++consecutive_;
      return Count({.samples = 1, .failures = 1, .timed = 1, .slow = slow ? 1 : 0}, now);
    case Outcome::kIgnore:
      if (slow) return Count({.samples = 0, .failures = 0, .timed = 1, .slow = 1}, now);
      break;
    case Outcome::kThrottled:
      break;
  }
  return std::nullopt;
}

std::optional<Transition> BreakerCore::AddLateFailure(Ticket ticket, MonoTime now) {
  now = Seen(now);
  std::optional<Transition> transition = FailOverdueProbe(now);
  if (state_ == State::kOpen || ticket.epoch < window_epoch_) return transition;
  ++consecutive_;
  // Its time to first content was counted with the head.
  return Count({.samples = 1, .failures = 1, .timed = 0, .slow = 0}, now);
}

void BreakerCore::Abandon(Ticket ticket) {
  if (ticket.is_probe && ticket.epoch == epoch_) probe_under_way_ = false;
}

std::optional<Transition> BreakerCore::SetOverride(Override override, MonoTime now) {
  now = Seen(now);
  const Override before = override_;
  override_ = override;
  switch (override) {
    case Override::kForcedOpen:
      if (state_ != State::kOpen) return Change(State::kOpen, Cause::kManual, now);
      break;
    case Override::kForcedClosed:
      if (state_ != State::kClosed) return Change(State::kClosed, Cause::kManual, now);
      break;
    case Override::kAuto:
      if (before == Override::kForcedOpen) open_until_ = now;
      break;
  }
  return std::nullopt;
}

void BreakerCore::SetPolicy(const Policy& policy, MonoTime now) {
  now = Seen(now);
  if (policy.window != policy_.window) window_ = OutcomeWindow(policy.window, now);
  policy_ = policy;
}

Snapshot BreakerCore::TakeSnapshot(MonoTime now) {
  now = Seen(now);
  const bool is_waiting = state_ == State::kOpen && RetryAfter(now) > absl::ZeroDuration();
  const bool is_probed_by_path = state_ != State::kClosed && !policy_.probe.path.empty();
  return {.state = state_,
          .override = override_,
          .counts = window_.Total(now),
          .consecutive = consecutive_,
          .probe_successes = probe_successes_,
          .probe_under_way = probe_under_way_,
          .until_probe = state_ == State::kOpen ? RetryAfter(now) : absl::ZeroDuration(),
          .refuses_requests = policy_.mode == Mode::kEnforce && (is_waiting || is_probed_by_path),
          .transitions = transitions_};
}

MonoTime BreakerCore::Seen(MonoTime now) {
  latest_ = std::max(latest_, now);
  return latest_;
}

std::optional<Transition> BreakerCore::FailOverdueProbe(MonoTime now) {
  if (!probe_under_way_ || now < probe_deadline_) return std::nullopt;
  return Change(State::kOpen, Cause::kProbeTimedOut, now);
}

absl::Duration BreakerCore::RetryAfter(MonoTime now) const {
  if (state_ == State::kHalfOpen) return kProbeUnderWayRetry;
  if (override_ == Override::kForcedOpen) return policy_.open_for;
  return std::max(open_until_ - now, absl::ZeroDuration());
}

std::optional<Transition> BreakerCore::Count(const Counts& counts, MonoTime now) {
  window_.Add(counts, now);
  if (state_ != State::kClosed || override_ == Override::kForcedClosed) return std::nullopt;
  const Counts& total = window_.Total(now);
  const auto reaches = [this](int64_t part, int64_t whole, double ratio) {
    return whole >= policy_.min_requests &&
           static_cast<double>(part) >= ratio * static_cast<double>(whole);
  };
  if (consecutive_ >= policy_.consecutive) {
    return Change(State::kOpen, Cause::kConsecutiveFailures, now);
  }
  if (reaches(total.failures, total.samples, policy_.failure_ratio)) {
    return Change(State::kOpen, Cause::kFailureRatio, now);
  }
  if (reaches(total.slow, total.timed, policy_.slow.ratio)) {
    return Change(State::kOpen, Cause::kSlowRatio, now);
  }
  return std::nullopt;
}

std::optional<Transition> BreakerCore::JudgeProbe(Outcome outcome, bool slow, MonoTime now) {
  probe_under_way_ = false;
  // Slow is failed: a breaker that slowness opened would else close on it and open again.
  if (outcome == Outcome::kFailure || slow) return Change(State::kOpen, Cause::kProbeFailed, now);
  if (outcome != Outcome::kSuccess || ++probe_successes_ < policy_.successes_to_close) {
    return std::nullopt;
  }
  return Change(State::kClosed, Cause::kProbesSucceeded, now);
}

Transition BreakerCore::Change(State to, Cause cause, MonoTime now) {
  Transition transition = {.from = state_,
                           .to = to,
                           .cause = cause,
                           .counts = window_.Total(now),
                           .consecutive = consecutive_};
  ++transitions_[static_cast<size_t>(cause)];
  ++epoch_;
  probe_under_way_ = false;
  probe_deadline_ = MonoTime::Infinite();
  probe_successes_ = 0;
  switch (to) {
    case State::kOpen:
      if (cause == Cause::kProbeFailed || cause == Cause::kProbeTimedOut) {
        ++doublings_;
      } else if (state_ == State::kClosed && now - closed_since_ >= kForgetDoublingsAfter) {
        doublings_ = 0;
      }
      transition.open_for = NextOpenTime();
      open_until_ = now + transition.open_for;
      break;
    case State::kHalfOpen:
      ClearWindow();
      break;
    case State::kClosed:
      closed_since_ = now;
      // What probes left behind stays: streams of theirs may have been cut meanwhile.
      if (cause == Cause::kManual) ClearWindow();
      break;
  }
  state_ = to;
  return transition;
}

absl::Duration BreakerCore::NextOpenTime() {
  absl::Duration nominal = std::min(policy_.open_for, policy_.max_open_for);
  for (int i = 0; i < doublings_ && nominal < policy_.max_open_for; ++i) {
    nominal = std::min(2 * nominal, policy_.max_open_for);
  }
  // A generator for each opening keeps 2.5 KiB out of every breaker.
  Random random(seed_++);
  return std::min(nominal * random.Uniform(0.8, 1.2), policy_.max_open_for);
}

void BreakerCore::ClearWindow() {
  window_.Clear();
  consecutive_ = 0;
  window_epoch_ = epoch_;
}

}  // namespace outrigger::breaker
