#include "filters/retry/retry_report.h"

namespace outrigger::retry {

using common::Event;
using metrics::RetryCause;
using metrics::RetryResult;

namespace {

RetryCause CauseOfStatus(int status) {
  switch (status) {
    case 408:
      return RetryCause::k408;
    case 425:
      return RetryCause::k425;
    case 429:
      return RetryCause::k429;
    case 500:
      return RetryCause::k500;
    case 502:
      return RetryCause::k502;
    case 503:
      return RetryCause::k503;
    case 504:
      return RetryCause::k504;
    case 529:
      return RetryCause::k529;
    default:
      return RetryCause::kOther;
  }
}

}  // namespace

RetryCause RetryCauseOf(Event event, int status, http::Reason reason) {
  switch (event) {
    case Event::kConnectFailed:
      return RetryCause::kConnectFail;
    case Event::kStreamRefused:
    case Event::kGoawayUnprocessed:
      return RetryCause::kRefusedStream;
    case Event::kReusedConnectionClosed:
      return RetryCause::kReusedConnection;
    case Event::kReset:
      return reason == http::Reason::kUpstreamProtocol ? RetryCause::kProtocol : RetryCause::kReset;
    case Event::kTimeout:
    case Event::kGrpcTimeout:
      return RetryCause::kTimeout;
    case Event::kUnauthorized:
      return RetryCause::k401;
    case Event::kStreamErrorThrottled:
    case Event::kStreamErrorServer:
    case Event::kStreamErrorInvalid:
      return RetryCause::kErrorEvent;
    default:
      return CauseOfStatus(status);
  }
}

std::optional<RetryResult> RetryResultOf(Event event, StopCause stop) {
  switch (stop) {
    case StopCause::kNone:
      return RetryResult::kRetried;
    case StopCause::kNotRetryable:
      switch (common::Decide(event, http::Effects::kNone).retry) {
        case common::RetryRule::kNever:
        case common::RetryRule::kOnceWithOwnCredential:
          return std::nullopt;
        default:
          return RetryResult::kForbidden;
      }
    case StopCause::kCommitted:
    case StopCause::kForbidden:
    case StopCause::kInnerExhausted:
      return RetryResult::kForbidden;
    case StopCause::kBodyNotKept:
      return RetryResult::kNotReplayable;
    case StopCause::kAttempts:
    case StopCause::kCallerRetries:
      return RetryResult::kAttemptsUsed;
    case StopCause::kAskedWait:
      return RetryResult::kWaitTooLong;
    case StopCause::kDeadline:
      return RetryResult::kDeadline;
    case StopCause::kBudget:
      return RetryResult::kBudgetEmpty;
  }
  return std::nullopt;
}

}  // namespace outrigger::retry
