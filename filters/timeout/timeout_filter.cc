#include "filters/timeout/timeout_filter.h"

#include <memory>
#include <optional>
#include <utility>

#include "filters/timeout/timed_body.h"
#include "proxy/coro/abortable.h"
#include "proxy/event/abort_timer.h"

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

bool IsBounded(absl::Duration limit) { return limit != absl::InfiniteDuration(); }
bool IsBounded(const DeadlineQueue& queue) { return IsBounded(queue.timeout()); }

}  // namespace

TimeoutFilter::TimeoutFilter(const TimeoutPolicy& policy, Parts parts)
    : parts_(std::move(parts)),
      per_try_(parts_.deadlines.For(policy.per_try)),
      ttft_(parts_.deadlines.For(policy.ttft)),
      inter_token_(parts_.deadlines.For(policy.inter_token)) {}

Task<Result> TimeoutFilter::Call(Request& request, chain::Next next) {
  absl::Duration ttft = ttft_.timeout();
  if (parts_.adaptive == nullptr) {
    request.first_content_by = ttft_.NextDeadline();
  } else {
    ttft = parts_.adaptive->Limit(parts_.loop.Now());
    request.first_content_by = parts_.loop.Now() + ttft;
  }
  if (IsBounded(per_try_) || (IsBounded(ttft) && AsksForEventStream(request.headers))) {
    return BoundedAttempt(request, next, ttft);
  }
  return Attempt(request, next, ttft);
}

Task<Result> TimeoutFilter::Attempt(Request& request, chain::Next next, absl::Duration ttft) {
  const MonoTime began = parts_.loop.Now();
  Result result = co_await next(request);
  if (!result.ok() || result->stream == nullptr) co_return result;
  co_return WatchStream(std::move(*result), began, ttft);
}

Task<Result> TimeoutFilter::BoundedAttempt(Request& request, chain::Next next,
                                           absl::Duration ttft) {
  const MonoTime began = parts_.loop.Now();
  Abortable<Result> attempt(Attempt(request, next, ttft));
  bool is_ttft = false;
  DeadlineEntry per_try([&attempt] { attempt.Abort(); });
  DeadlineEntry first_token([&attempt, &is_ttft] {
    is_ttft = true;
    attempt.Abort();
  });
  // What is learned is not the same from one attempt to the next, as a queue's entries must be.
  AbortTimer<Result> learned(parts_.loop, attempt);
  per_try_.Arm(per_try);
  if (!AsksForEventStream(request.headers)) {
    // The first sign of a stream will be its head.
  } else if (parts_.adaptive != nullptr) {
    learned.Arm(began + ttft);
  } else {
    ttft_.Arm(first_token);
  }
  std::optional<Result> result = co_await attempt;
  if (result.has_value()) co_return std::move(*result);

  if (learned.has_fired()) {
    is_ttft = true;
    parts_.adaptive->RecordCut(parts_.loop.Now() - began, parts_.loop.Now());
  }
  Count(is_ttft ? metrics::TimeoutTier::kTtft : metrics::TimeoutTier::kPerTry);
  co_return Failure{.reason = is_ttft ? Reason::kTtftTimeout : Reason::kPerTryTimeout,
                    .phase = request.was_dispatched ? Phase::kAwaitingHead : Phase::kConnect,
                    .executed = request.was_dispatched ? Executed::kMaybe : Executed::kNo};
}

Result TimeoutFilter::WatchStream(Response response, MonoTime began, absl::Duration ttft) {
  const http::StreamState& stream = *response.stream;
  const MonoTime now = parts_.loop.Now();
  const absl::Duration elapsed = now - began;
  const bool has_content = stream.content_events > 0;
  const bool is_waiting = !has_content && !stream.has_terminal && !stream.is_complete;
  // An error status is an answer, however late its first event.
  const bool is_success = response.status < 300;
  if (is_waiting && is_success && elapsed >= ttft) {
    Count(metrics::TimeoutTier::kTtft);
    if (parts_.adaptive != nullptr) parts_.adaptive->RecordCut(elapsed, now);
    return Failure{.reason = Reason::kTtftTimeout,
                   .phase = Phase::kAwaitingHead,
                   .executed = Executed::kMaybe};
  }
  if (has_content && is_success && parts_.adaptive != nullptr) {
    parts_.adaptive->Record(stream.first_content - began, now);
  }
  if (!IsBounded(inter_token_) && !(is_waiting && IsBounded(ttft))) return response;
  TimedBody::Parts parts{parts_.loop, inter_token_, parts_.metrics, parts_.standard_metrics,
                         is_waiting && is_success ? parts_.adaptive : nullptr};
  response.body = std::make_unique<TimedBody>(std::move(parts), std::move(response.body), stream,
                                              ttft, elapsed);
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
