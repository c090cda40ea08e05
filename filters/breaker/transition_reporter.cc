#include "filters/breaker/transition_reporter.h"

#include <string_view>

namespace outrigger::breaker {
namespace {

metrics::BreakerState ToLabel(State state) {
  switch (state) {
    case State::kClosed:
      return metrics::BreakerState::kClosed;
    case State::kHalfOpen:
      return metrics::BreakerState::kHalfOpen;
    case State::kOpen:
      break;
  }
  return metrics::BreakerState::kOpen;
}

metrics::BreakerCause ToLabel(Cause cause) {
  switch (cause) {
    case Cause::kConsecutiveFailures:
      return metrics::BreakerCause::kConsecutive;
    case Cause::kFailureRatio:
      return metrics::BreakerCause::kFailureRatio;
    case Cause::kSlowRatio:
      return metrics::BreakerCause::kSlowRatio;
    case Cause::kOpenTimeOver:
      return metrics::BreakerCause::kOpenTimeOver;
    case Cause::kProbeFailed:
    case Cause::kProbeTimedOut:
      return metrics::BreakerCause::kProbeFailed;
    case Cause::kProbesSucceeded:
      return metrics::BreakerCause::kProbesSucceeded;
    case Cause::kManual:
      break;
  }
  return metrics::BreakerCause::kManual;
}

template <class Label>
std::string_view NameOf(std::span<const std::string_view> names, Label label) {
  return names[static_cast<size_t>(label)];
}

}  // namespace

TransitionReporter::TransitionReporter(metrics::Registry& registry,
                                       metrics::StandardMetrics& standard_metrics, log::Logger& log)
    : standard_metrics_(standard_metrics), log_(log), numbers_(registry.AddWorker()) {}

void TransitionReporter::Report(const Breaker& breaker, const Transition& transition) {
  const metrics::BreakerState to = ToLabel(transition.to);
  const metrics::BreakerCause cause = ToLabel(transition.cause);
  {
    const std::lock_guard lock(mutex_);
    numbers_.Increment(standard_metrics_.Breaker(breaker.id()).transitions.At(to, cause));
  }
  const log::Level level = transition.to == State::kOpen ? log::Level::kWarn : log::Level::kInfo;
  log_.Log(level, "breaker_transition")
      .Str("breaker", breaker.id())
      .Str("from", NameOf(metrics::BreakerStateNames(), ToLabel(transition.from)))
      .Str("to", NameOf(metrics::BreakerStateNames(), to))
      .Str("cause", NameOf(metrics::BreakerCauseNames(), cause))
      .Int("samples", transition.counts.samples)
      .Int("failures", transition.counts.failures)
      .Int("timed", transition.counts.timed)
      .Int("slow", transition.counts.slow)
      .Int("consecutive", transition.consecutive)
      .Millis("open_for_ms", transition.open_for);
}

}  // namespace outrigger::breaker
