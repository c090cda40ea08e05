#include "filters/timeout/timeout_filter.h"

#include <memory>
#include <optional>
#include <utility>

#include "filters/timeout/timed_body.h"
#include "proxy/coro/abortable.h"

namespace outrigger::timeout {

using http::Executed;
using http::Failure;
using http::HeaderField;
using http::HeaderId;
using http::Phase;
using http::Reason;
using http::Request;
using http::Response;
using http::Result;

namespace {

bool IsBounded(const DeadlineQueue& queue) { return queue.timeout() != absl::InfiniteDuration(); }

}  // namespace

TimeoutFilter::TimeoutFilter(const TimeoutPolicy& policy, const Parts& parts)
    : parts_(parts),
      per_try_(parts.deadlines.For(policy.per_try)),
      ttft_(parts.deadlines.For(policy.ttft)),
      inter_token_(parts.deadlines.For(policy.inter_token)) {}

Task<Result> TimeoutFilter::Call(Request& request, chain::Next next) {
  if (IsBounded(per_try_) || (IsBounded(ttft_) && AsksForEventStream(request.headers))) {
    return BoundedAttempt(request, next);
  }
  return Attempt(request, next);
}

Task<Result> TimeoutFilter::Attempt(Request& request, chain::Next next) {
  const MonoTime began = parts_.loop.Now();
  Result result = co_await next(request);
  if (!result.ok() || result->stream == nullptr) co_return result;
  co_return WatchStream(std::move(*result), parts_.loop.Now() - began);
}

Task<Result> TimeoutFilter::BoundedAttempt(Request& request, chain::Next next) {
  Abortable<Result> attempt(Attempt(request, next));
  bool is_ttft = false;
  DeadlineEntry per_try([&attempt] { attempt.Abort(); });
  DeadlineEntry first_token([&attempt, &is_ttft] {
    is_ttft = true;
    attempt.Abort();
  });
  per_try_.Arm(per_try);
  if (AsksForEventStream(request.headers)) ttft_.Arm(first_token);
  std::optional<Result> result = co_await attempt;
  if (result.has_value()) co_return std::move(*result);

  Count(is_ttft ? metrics::TimeoutTier::kTtft : metrics::TimeoutTier::kPerTry);
  co_return Failure{.reason = is_ttft ? Reason::kTtftTimeout : Reason::kPerTryTimeout,
                    .phase = request.was_dispatched ? Phase::kAwaitingHead : Phase::kConnect,
                    .executed = request.was_dispatched ? Executed::kMaybe : Executed::kNo};
}

Result TimeoutFilter::WatchStream(Response response, absl::Duration elapsed) {
  const http::StreamState& stream = *response.stream;
  const bool is_waiting = stream.content_events == 0 && !stream.has_terminal && !stream.is_complete;
  // An error status is an answer, however late its first event.
  if (is_waiting && response.status < 300 && elapsed >= ttft_.timeout()) {
    Count(metrics::TimeoutTier::kTtft);
    return Failure{.reason = Reason::kTtftTimeout,
                   .phase = Phase::kAwaitingHead,
                   .executed = Executed::kMaybe};
  }
  if (!IsBounded(inter_token_) && !(is_waiting && IsBounded(ttft_))) return response;
  response.body = std::make_unique<TimedBody>(
      TimedBody::Parts{parts_.loop, inter_token_, parts_.metrics, parts_.standard_metrics},
      std::move(response.body), stream, ttft_.timeout(), elapsed);
  return response;
}

void TimeoutFilter::Count(metrics::TimeoutTier tier) {
  parts_.metrics.Increment(parts_.standard_metrics.timeouts.At(tier));
}

bool AsksForEventStream(const http::HeaderList& headers) {
  bool asks = false;
  for (const HeaderField& field : headers) {
    if (field.id != HeaderId::kAccept) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      std::string_view range = rest.substr(0, comma);
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
      range = http::TrimOws(range.substr(0, range.find(';')));
      if (range.empty()) continue;
      if (!http::EqualsIgnoreCase(range, "text/event-stream")) return false;
      asks = true;
    }
  }
  return asks;
}

}  // namespace outrigger::timeout
