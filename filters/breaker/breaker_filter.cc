#include "filters/breaker/breaker_filter.h"

#include <utility>

#include "filters/breaker/grpc_attempt.h"
#include "filters/common/answer.h"

namespace outrigger::breaker {

using common::BreakerClass;
using http::Failure;
using http::Reason;
using http::Request;
using http::Response;
using http::Result;

namespace {

// `received` and `deadline` come from clocks that differ by up to a kernel tick.
constexpr int64_t kClockSlackNanos = 10'000'000;

common::Event EventOf(const Response& response) {
  // An answer of our own says nothing about the service.
  if (response.reason != Reason::kNone) return common::Event::kOwnRejection;
  return common::ClassifyAnswer(response);
}

// The head was passed on before anything but a preamble had come, and the stream goes on.
bool IsOpening(const Response& response) {
  return response.has_body && response.stream != nullptr && response.stream->content_events == 0 &&
         !response.stream->is_complete;
}

}  // namespace

BreakerFilter::BreakerFilter(const Parts& parts, std::shared_ptr<Breaker> breaker, Options options)
    : loop_(parts.loop),
      log_(parts.log),
      metrics_(parts.metrics),
      counters_(parts.counters),
      breaker_(std::move(breaker)),
      options_(std::move(options)),
      overall_nanos_(absl::ToInt64Nanoseconds(options_.overall_timeout)) {}

MonoTime BreakerFilter::RouteDeadline(const Request& request) const {
  const bool is_callers =
      request.deadline.PlusNanos(kClockSlackNanos) < request.received.PlusNanos(overall_nanos_);
  return is_callers ? MonoTime::Infinite() : request.deadline;
}

bool BreakerFilter::HasCallersDeadlinePassed(const Request& request) const {
  return RouteDeadline(request) == MonoTime::Infinite() &&
         loop_.Now().PlusNanos(kClockSlackNanos) >= request.deadline;
}

std::optional<Failure> BreakerFilter::Refuse(const Request& request, Reason reason,
                                             absl::Duration wait) {
  const bool is_shadow = options_.mode == Mode::kShadow;
  metrics_.Increment(counters_.refusals.At(
      reason == Reason::kThrottled ? metrics::BreakerRefusal::kThrottled
                                   : metrics::BreakerRefusal::kOpen,
      is_shadow ? metrics::FilterMode::kShadow : metrics::FilterMode::kEnforce));
  if (is_shadow) {
    log_.Debug("breaker_would_refuse")
        .Str("breaker", breaker_->id())
        .Str("reason", ReasonName(reason))
        .Str("request_id", request.id);
    return std::nullopt;
  }
  return Failure{.reason = reason,
                 .phase = http::Phase::kLocal,
                 .executed = http::Executed::kNo,
                 .retry_after = wait};
}

std::optional<Failure> BreakerFilter::Admit(const Request& request, Permit& permit) {
  const MonoTime now = loop_.Now();
  // The hash is worth making only while something is held.
  ThrottleGate* gate = options_.throttle.gate;
  if (gate != nullptr && gate->size() > 0) {
    const absl::Duration wait = gate->Wait(options_.throttle.scope(request), now);
    if (wait > absl::ZeroDuration()) {
      std::optional<Failure> refusal = Refuse(request, Reason::kThrottled, wait);
      if (refusal.has_value()) return refusal;
    }
  }
  Expected<Permit, Rejection> acquired = breaker_->TryAcquire(now);
  if (!acquired.ok()) return Refuse(request, Reason::kBreakerOpen, acquired.error().retry_after);
  permit = std::move(acquired).value();
  return std::nullopt;
}

void BreakerFilter::JudgeHead(const Request& request, Attempt attempt, Response& response) {
  attempt.HeadHasCome();
  const common::Event event = EventOf(response);
  BreakerClass verdict = Decide(event, request.effects).breaker;
  // The service gave up because the caller wanted it so.
  if (event == common::Event::kGrpcTimeout && HasCallersDeadlinePassed(request)) {
    verdict = BreakerClass::kIgnore;
  }
  if (verdict == BreakerClass::kThrottled && options_.throttle.gate != nullptr) {
    const absl::Duration wait = options_.throttle.asked_wait(response);
    options_.throttle.gate->Hold(options_.throttle.scope(request), wait, loop_.Now());
  }
  if (verdict != BreakerClass::kSuccess) {
    attempt.Judge(verdict, verdict == BreakerClass::kFailure && attempt.IsSlowNow());
    return;
  }
  if (response.grpc != nullptr) {
    WatchGrpc(std::move(attempt), request.effects, response);
    return;
  }
  if (!IsOpening(response)) {
    const bool has_content = response.stream != nullptr && response.stream->content_events > 0;
    attempt.Judge(verdict, has_content ? attempt.IsSlowAt(response.stream->first_content)
                                       : attempt.IsSlowNow());
  }
  WatchBody(std::move(attempt), request.effects, response);
}

Task<Result> BreakerFilter::Call(Request& request, chain::Next next) {
  Permit permit;
  const std::optional<Failure> refusal = Admit(request, permit);
  if (refusal.has_value()) co_return *refusal;
  Attempt attempt(loop_, std::move(permit),
                  {.slow_ttft = options_.slow_ttft, .route_deadline = RouteDeadline(request)});
  Result result = co_await next(request);
  if (result.ok()) {
    JudgeHead(request, std::move(attempt), *result);
  } else {
    const common::Verdict verdict =
        Decide(common::ClassifyFailure(result.error()), request.effects);
    const bool is_late = verdict.breaker == BreakerClass::kFailure && attempt.IsSlowNow();
    attempt.Judge(verdict.breaker, verdict.is_slow || is_late);
  }
  co_return result;
}

}  // namespace outrigger::breaker
