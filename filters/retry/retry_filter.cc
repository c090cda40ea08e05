#include "filters/retry/retry_filter.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "filters/common/answer.h"
#include "filters/retry/retry_report.h"

namespace outrigger::retry {

using common::Event;
using http::Failure;
using http::HeaderId;
using http::Request;
using http::Response;
using http::Result;

namespace {

constexpr std::string_view kAttemptsHeader = "x-outrigger-attempts";
constexpr std::string_view kExhaustedHeader = "x-outrigger-retries-exhausted";

// What `retry.causes` and metrics name it by.
int StatusOf(const Response& response) {
  if (response.grpc == nullptr || !response.grpc->status.has_value()) return response.status;
  return grpc::HttpStatusOf(*response.grpc->status);
}

const http::HeaderList& HintFields(const Response& response) {
  const bool is_in_trailers = response.grpc != nullptr && response.grpc->trailers != nullptr;
  return is_in_trailers ? *response.grpc->trailers : response.headers;
}

void SetAttemptsHeader(Request& request) {
  char digits[12];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, request.attempt);
  const std::string_view number(digits, static_cast<size_t>(end - digits));
  request.response_headers.Remove(kAttemptsHeader);
  request.response_headers.Add(
      {kAttemptsHeader,
       request.arena->Concat(number, request.record.body_unbuffered ? ";unbuffered" : ""),
       HeaderId::kXOutrigger});
}

}  // namespace

RetryFilter::RetryFilter(RetryPolicy policy, common::DecideOptions options, Parts parts)
    : policy_(std::move(policy)), options_(options), parts_(std::move(parts)) {}

Task<Result> RetryFilter::Call(Request& request, chain::Next next) {
  parts_.budget->RecordFirstAttempt(parts_.loop.Now());
  ReplayBody* const replay = KeepBody(request);
  // Made when the first attempt has failed, which nearly none does.
  std::optional<RetryLoop> decider;
  for (;;) {
    absl::Duration wait;
    {
      const MonoTime began = parts_.loop.Now();
      Result result = co_await next(request);
      const Attempt attempt = Examine(request, result, replay);
      request.executed = std::max(request.executed, attempt.result.verdict.executed);
      Learn(result, attempt, began);
      RetryDecision decision{.stop = StopCause::kNotRetryable};
      if (attempt.result.verdict.retry != common::RetryRule::kNever) {
        if (!decider.has_value()) {
          decider.emplace(policy_, *parts_.budget, CallerAttempt(request.headers), parts_.random);
        }
        decision = decider->AfterAttempt(attempt.result, parts_.loop.Now());
      }
      Count(attempt, decision.stop);
      if (!decision.is_retry) {
        // Where no retry is configured none is used up, and an outer layer may well retry.
        const bool is_exhausted =
            IsExhausted(decision.stop) &&
            (decision.stop != StopCause::kAttempts || decider->attempts() > 1);
        Conclude(request, result, is_exhausted, replay);
        co_return result;
      }
      wait = decision.wait;
      Schedule(request, attempt, decision, replay);
      // The result ends here: connection, permit and buffers are given back before the wait.
    }
    co_await parts_.loop.Sleep(wait);
  }
}

ReplayBody* RetryFilter::KeepBody(Request& request) const {
  if (request.body == nullptr || !may_retry() || request.body->Peek().has_value()) return nullptr;
  const ReplayBody::Limits limits{policy_.max_replay_body, &parts_.memory, parts_.replay_pool};
  auto body = std::make_unique<ReplayBody>(std::move(request.body), request.body_length, limits);
  ReplayBody* const replay = body.get();
  request.body = std::move(body);
  return replay;
}

RetryFilter::Attempt RetryFilter::Examine(const Request& request, const Result& result,
                                          const ReplayBody* replay) const {
  Attempt attempt;
  AttemptResult& out = attempt.result;
  const http::Effects effects =
      common::EffectsOfRequest(request.effects, request.headers.Has(HeaderId::kIdempotencyKey));
  if (result.ok()) {
    const Response& response = *result;
    out.event = common::ClassifyAnswer(response);
    out.status = StatusOf(response);
    out.is_committed = response.grpc != nullptr && response.grpc->has_message;
  } else {
    out.event = common::ClassifyFailure(result.error());
    attempt.reason = result.error().reason;
  }
  out.verdict = common::Decide(out.event, effects, options_);
  if (!result.ok()) {
    // Who failed may know more than the table.
    out.verdict.executed = std::max(out.verdict.executed, result.error().executed);
  }
  // Success, and all that nobody would repeat, costs no more than this.
  if (out.verdict.retry == common::RetryRule::kNever) return attempt;

  if (result.ok()) {
    out.hint = ReadRetryHint(out.status, HintFields(*result), parts_.loop.WallNow());
    out.is_inner_exhausted = result->headers.Find(kExhaustedHeader) != nullptr;
  }
  if (replay != nullptr) {
    out.is_body_kept = replay->can_replay();
  } else {
    out.is_body_kept = request.body == nullptr || request.body->Peek().has_value();
  }
  out.remaining = request.deadline - parts_.loop.Now();
  out.p50_ttft = ttft_.Get();
  return attempt;
}

void RetryFilter::Learn(const Result& result, const Attempt& attempt, MonoTime began) {
  if (attempt.result.event != Event::kSuccess) return;
  const http::StreamState* stream = result->stream;
  const bool has_content = stream != nullptr && stream->content_events > 0;
  const MonoTime first = has_content ? stream->first_content : parts_.loop.Now();
  ttft_.Add(std::max(absl::ZeroDuration(), first - began));
}

void RetryFilter::Count(const Attempt& attempt, StopCause stop) {
  const std::optional<metrics::RetryResult> outcome = RetryResultOf(attempt.result.event, stop);
  if (!outcome.has_value()) return;
  const metrics::RetryCause cause =
      RetryCauseOf(attempt.result.event, attempt.result.status, attempt.reason);
  parts_.metrics.Increment(parts_.standard_metrics.retries.At(cause, *outcome));
}

void RetryFilter::Schedule(Request& request, const Attempt& attempt, const RetryDecision& decision,
                           ReplayBody* replay) {
  ++request.attempt;
  request.needs_new_connection = decision.needs_new_connection;
  http::RequestRecord& record = request.record;
  const std::string_view cause = attempt.reason != http::Reason::kNone
                                     ? http::ReasonName(attempt.reason)
                                     : EventName(attempt.result.event);
  record.backoff += decision.wait;
  record.failed_attempts.push_back(
      {.cause = cause,
       .status = attempt.result.status,
       .took = record.upstream_started == MonoTime()
                   ? absl::ZeroDuration()  // refused before there was a connection
                   : parts_.loop.PreciseNow() - record.upstream_started,
       .backoff = decision.wait});
  if (replay != nullptr) {
    request.record.body_unbuffered = replay->is_unbuffered();
    replay->Rewind();
  }
  // Now, so that the answer has it even when the deadline ends the wait.
  SetAttemptsHeader(request);
  parts_.metrics.ObserveNanos(parts_.standard_metrics.retry_backoff,
                              absl::ToInt64Nanoseconds(decision.wait));
  log::LogEvent event = parts_.log.Info("retry_scheduled");
  if (!event.is_enabled()) return;
  event.Int("attempt", request.attempt)
      .Millis("backoff_ms", decision.wait)
      .Str("reason", cause);
  if (attempt.result.status != 0) event.Int("status", attempt.result.status);
  event.Str("trace_id", request.trace_id).Str("request_id", request.id);
}

void RetryFilter::Conclude(Request& request, Result& result, bool is_exhausted,
                           ReplayBody* replay) const {
  if (replay != nullptr) {
    request.record.body_unbuffered = replay->is_unbuffered();
    if (request.record.body_unbuffered) SetAttemptsHeader(request);
    replay->Release();
  }
  if (!is_exhausted) return;
  request.record.retries_exhausted = true;
  // A failure becomes a local reply, which reads the record.
  if (!result.ok()) return;
  request.response_headers.Add({kExhaustedHeader, "1", HeaderId::kXOutrigger});
  const http::Effects effects =
      common::EffectsOfRequest(request.effects, request.headers.Has(HeaderId::kIdempotencyKey));
  if (effects != http::Effects::kUnsafe) return;
  result->headers.Remove(HeaderId::kXShouldRetry);
  request.response_headers.Add({"x-should-retry", "false", HeaderId::kXShouldRetry});
}

}  // namespace outrigger::retry
