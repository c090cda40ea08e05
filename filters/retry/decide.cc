#include "filters/retry/decide.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace outrigger::retry {
namespace {

using common::Event;
using common::RetryRule;
using http::HeaderField;
using http::HeaderId;

// From the second attempt of the caller on, ours multiply with its own (RT-7).
constexpr int kRetriesForRetryingCaller = 1;
// How far an override's delay may double.
constexpr int kOverrideCapFactor = 8;

std::string_view CauseClass(Event event) {
  switch (event) {
    case Event::kConnectFailed:
      return "connect";
    case Event::kReset:
    case Event::kReusedConnectionClosed:
    case Event::kStreamRefused:
    case Event::kGoawayUnprocessed:
      return "reset";
    case Event::kTimeout:
    case Event::kGrpcTimeout:
      return "timeout";
    case Event::kThrottled:
    case Event::kStreamErrorThrottled:
    case Event::kGrpcExhausted:
    case Event::kGrpcExhaustedUnsent:
      return "throttled";
    default:
      return {};
  }
}

bool ParseStatus(std::string_view name, int* status) {
  const char* end = name.data() + name.size();
  return name.size() == 3 && std::from_chars(name.data(), end, *status).ptr == end;
}

BackoffPolicy OverrideBackoff(const BackoffPolicy& policy, absl::Duration delay) {
  BackoffPolicy own = policy;
  own.base = delay;
  own.cap = std::max(policy.cap, delay * kOverrideCapFactor);
  return own;
}

}  // namespace

bool IsCauseName(std::string_view name) {
  constexpr std::string_view kClasses[] = {"connect", "reset", "timeout", "throttled"};
  if (std::find(std::begin(kClasses), std::end(kClasses), name) != std::end(kClasses)) return true;
  int status = 0;
  return ParseStatus(name, &status) && status >= 400 && status <= 599;
}

std::string_view StopCauseName(StopCause cause) {
  switch (cause) {
    case StopCause::kNone:
      return "none";
    case StopCause::kNotRetryable:
      return "not_retryable";
    case StopCause::kCommitted:
      return "committed";
    case StopCause::kForbidden:
      return "forbidden";
    case StopCause::kBodyNotKept:
      return "body_not_kept";
    case StopCause::kInnerExhausted:
      return "inner_exhausted";
    case StopCause::kAttempts:
      return "attempts";
    case StopCause::kCallerRetries:
      return "caller_retries";
    case StopCause::kAskedWait:
      return "asked_wait";
    case StopCause::kDeadline:
      return "deadline";
    case StopCause::kBudget:
      return "budget";
  }
  return "";
}

RetryLoop::RetryLoop(const RetryPolicy& policy, RetryBudget& budget, int caller_attempt,
                     Random& random)
    : policy_(policy),
      budget_(budget),
      caller_attempt_(caller_attempt),
      random_(random),
      backoff_(policy.backoff, random),
      throttled_backoff_(ProviderBackoff(), random) {}

RetryDecision RetryLoop::AfterAttempt(const AttemptResult& result, MonoTime now) {
  const auto stop = [](StopCause cause) { return RetryDecision{.stop = cause}; };
  const RetryRule rule = result.verdict.retry;
  if (!IsAllowed(result)) return stop(StopCause::kNotRetryable);
  if (result.is_committed) return stop(StopCause::kCommitted);
  if (result.hint.is_forbidden) return stop(StopCause::kForbidden);
  if (!result.is_body_kept) return stop(StopCause::kBodyNotKept);
  if (result.is_inner_exhausted) return stop(StopCause::kInnerExhausted);

  RetryDecision decision;
  const bool is_free = IsFree(rule);
  Cause* cause = nullptr;
  if (!is_free) {
    cause = FindCause(result);
    const StopCause limit = LimitReached(cause);
    if (limit != StopCause::kNone) return stop(limit);
    if (result.hint.wait) {
      // Longer than allowed: the caller gets the response with its headers and can wait itself.
      if (*result.hint.wait > std::min(result.remaining, policy_.max_retry_after)) {
        return stop(StopCause::kAskedWait);
      }
      decision.wait = WithJitter(*result.hint.wait, random_);
    } else if (cause != nullptr) {
      decision.wait = cause->backoff.Next();
    } else if (rule == RetryRule::kIfAskedWaitFits) {
      decision.wait = throttled_backoff_.Next();
    } else if (rule != RetryRule::kOnceWithOwnCredential) {
      decision.wait = backoff_.Next();
    }
  }
  if (result.remaining <= absl::ZeroDuration() ||
      result.remaining < decision.wait + result.p50_ttft) {
    return stop(StopCause::kDeadline);
  }
  if (!is_free && !budget_.TryWithdraw(now)) return stop(StopCause::kBudget);

  ++attempts_;
  if (is_free) {
    is_free_used_ = true;
  } else {
    ++all_retries_;
    ++(cause != nullptr ? cause->retries : retries_);
  }
  if (rule == RetryRule::kOnceWithOwnCredential) is_credential_used_ = true;
  decision.is_retry = true;
  decision.is_free = is_free;
  decision.needs_new_connection = rule == RetryRule::kOnceFreeOnNewConnection;
  return decision;
}

RetryLoop::Cause* RetryLoop::FindCause(const AttemptResult& result) {
  const auto find = [this, &result](bool by_status) -> const CauseOverride* {
    for (const CauseOverride& rule : policy_.causes) {
      int status = 0;
      const bool is_status = ParseStatus(rule.cause, &status);
      if (is_status != by_status) continue;
      if (is_status ? status == result.status : rule.cause == CauseClass(result.event)) {
        return &rule;
      }
    }
    return nullptr;
  };
  // The status says more than the class.
  const CauseOverride* rule = find(/*by_status=*/true);
  if (rule == nullptr) rule = find(/*by_status=*/false);
  if (rule == nullptr) return nullptr;
  for (Cause& cause : causes_) {
    if (cause.rule == rule) return &cause;
  }
  causes_.push_back({rule, 0, Backoff(OverrideBackoff(policy_.backoff, rule->delay), random_)});
  return &causes_.back();
}

bool RetryLoop::IsAllowed(const AttemptResult& result) const {
  switch (result.verdict.retry) {
    case RetryRule::kNever:
      return false;
    case RetryRule::kOnceFreeOnNewConnection:
      return !is_free_used_;
    case RetryRule::kOnceWithOwnCredential:
      return result.holds_credential && !is_credential_used_;
    case RetryRule::kAllowed:
    case RetryRule::kFirstFree:
    case RetryRule::kIfAskedWaitFits:
      break;
  }
  return true;
}

bool RetryLoop::IsFree(RetryRule rule) const {
  return !is_free_used_ &&
         (rule == RetryRule::kFirstFree || rule == RetryRule::kOnceFreeOnNewConnection);
}

StopCause RetryLoop::LimitReached(const Cause* cause) const {
  const int limit = cause != nullptr ? cause->rule->retries : policy_.attempts - 1;
  const int used = cause != nullptr ? cause->retries : retries_;
  if (used >= limit) return StopCause::kAttempts;
  if (caller_attempt_ >= 2 && all_retries_ >= kRetriesForRetryingCaller) {
    return StopCause::kCallerRetries;
  }
  return StopCause::kNone;
}

int CallerAttempt(const http::HeaderList& request_headers) {
  constexpr int kMost = 1000;
  int attempt = 1;
  for (const HeaderField& field : request_headers) {
    int before_first = 0;  // what the field says on a first attempt
    switch (field.id) {
      case HeaderId::kXStainlessRetryCount:
      case HeaderId::kGrpcPreviousRpcAttempts:
        break;
      case HeaderId::kXEnvoyAttemptCount:
        before_first = 1;
        break;
      case HeaderId::kXOutrigger:
        if (!http::EqualsIgnoreCase(field.name, "x-outrigger-attempt")) continue;
        before_first = 1;
        break;
      default:
        continue;
    }
    const std::string_view text = http::TrimOws(field.value);
    const char* end = text.data() + text.size();
    int value = 0;
    const auto [next, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || next != end || value < 0) continue;
    attempt = std::max(attempt, std::min(value, kMost) - before_first + 1);
  }
  return attempt;
}

}  // namespace outrigger::retry
