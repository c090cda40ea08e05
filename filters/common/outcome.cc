#include "filters/common/outcome.h"

#include <array>
#include <cstddef>

namespace outrigger::common {
namespace {

using http::Effects;
using http::Executed;
using http::HeaderId;
using http::Phase;
using http::Reason;

struct Row {
  Event event;
  std::string_view name;
  Verdict repeatable;  // effects none and keyed
  Verdict unsafe;
};

constexpr Executed kNo = Executed::kNo;
constexpr Executed kMaybe = Executed::kMaybe;
constexpr Executed kYes = Executed::kYes;
using Record = RecordAction;
using Retry = RetryRule;
using Breaker = BreakerClass;
using Tokens = TokenAction;

// A row whose verdict does not depend on the effects.
constexpr Row Same(Event event, std::string_view name, Verdict verdict) {
  return {event, name, verdict, verdict};
}

// "none/keyed: release, retry; unsafe: `record`, no retry".
constexpr Row Maybe(Event event, std::string_view name, Verdict repeatable, Record unsafe_record) {
  Verdict unsafe = repeatable;
  unsafe.record = unsafe_record;
  unsafe.retry = Retry::kNever;
  return {event, name, repeatable, unsafe};
}

constexpr Verdict kThrottledVerdict = {kNo, Record::kRelease, Retry::kIfAskedWaitFits,
                                       Breaker::kThrottled, Tokens::kRefund};
constexpr Verdict kServerErrorVerdict = {kMaybe, Record::kRelease, Retry::kAllowed,
                                         Breaker::kFailure, Tokens::kKeep};
constexpr Verdict kAnsweredVerdict = {kYes, Record::kDone, Retry::kNever, Breaker::kSuccess,
                                      Tokens::kReconcile};

// clang-format off
constexpr Row kRows[] = {
    Same(Event::kOwnRejection, "own_rejection",
         {kNo, Record::kRelease, Retry::kNever, Breaker::kIgnore, Tokens::kNoneCharged}),
    Same(Event::kOwnIdempotencyRefusal, "own_idempotency_refusal",
         {kNo, Record::kUntouched, Retry::kNever, Breaker::kIgnore, Tokens::kNoneCharged}),
    Same(Event::kConnectFailed, "connect_failed",
         {kNo, Record::kStayReserved, Retry::kAllowed, Breaker::kFailure, Tokens::kRefund}),
    Same(Event::kStreamRefused, "stream_refused",
         {kNo, Record::kStayReserved, Retry::kFirstFree, Breaker::kFailure, Tokens::kRefund}),
    Same(Event::kGoawayUnprocessed, "goaway_unprocessed",
         {kNo, Record::kStayReserved, Retry::kFirstFree, Breaker::kIgnore, Tokens::kRefund}),
    Maybe(Event::kReusedConnectionClosed, "reused_connection_closed",
          {kMaybe, Record::kRelease, Retry::kOnceFreeOnNewConnection, Breaker::kIgnore,
           Tokens::kKeep},
          Record::kUnknown),
    Maybe(Event::kReset, "reset",
          {kMaybe, Record::kRelease, Retry::kAllowed, Breaker::kFailure, Tokens::kKeep},
          Record::kUnknown),
    Maybe(Event::kTimeout, "timeout",
          {kMaybe, Record::kRelease, Retry::kAllowed, Breaker::kFailure, Tokens::kKeepObserved,
           /*is_slow=*/true},
          Record::kUnknown),
    Same(Event::kNotProcessed, "not_processed",
         {kNo, Record::kRelease, Retry::kAllowed, Breaker::kIgnore, Tokens::kRefund}),
    Same(Event::kThrottled, "throttled", kThrottledVerdict),
    // The unsafe column is `503_means: maybe`; Decide takes the other one for `not_executed`.
    {Event::kUnavailable, "unavailable",
     {kNo, Record::kRelease, Retry::kAllowed, Breaker::kFailure, Tokens::kRefund},
     {kMaybe, Record::kDoneUnknown, Retry::kNever, Breaker::kFailure, Tokens::kKeep}},
    Maybe(Event::kServerError, "server_error", kServerErrorVerdict, Record::kDoneUnknown),
    Same(Event::kSuccess, "success", kAnsweredVerdict),
    Same(Event::kAnswered, "answered", kAnsweredVerdict),
    Same(Event::kUnauthorized, "unauthorized",
         {kYes, Record::kRelease, Retry::kOnceWithOwnCredential, Breaker::kSuccess,
          Tokens::kReconcile}),
    Same(Event::kRefusedByApp, "refused_by_app",
         {kYes, Record::kRelease, Retry::kNever, Breaker::kSuccess, Tokens::kReconcile}),
    Same(Event::kStreamErrorThrottled, "stream_error_throttled", kThrottledVerdict),
    Maybe(Event::kStreamErrorServer, "stream_error_server", kServerErrorVerdict,
          Record::kDoneUnknown),
    // Mapped to 400: the answer of a service that looked at the request, as B0.2 keeps other 4xx.
    Same(Event::kStreamErrorInvalid, "stream_error_invalid",
         {kMaybe, Record::kDone, Retry::kNever, Breaker::kSuccess, Tokens::kKeep}),
    {Event::kStreamBroken, "stream_broken",
     {kYes, Record::kRelease, Retry::kNever, Breaker::kFailure, Tokens::kChargeObserved},
     {kYes, Record::kTombstone, Retry::kNever, Breaker::kFailure, Tokens::kChargeObserved}},
    Same(Event::kGrpcUnavailableUnsent, "grpc_unavailable_unsent",
         {kNo, Record::kRelease, Retry::kAllowed, Breaker::kFailure, Tokens::kRefund}),
    Same(Event::kGrpcExhaustedUnsent, "grpc_exhausted_unsent", kThrottledVerdict),
    Maybe(Event::kGrpcUnavailable, "grpc_unavailable", kServerErrorVerdict, Record::kDoneUnknown),
    Maybe(Event::kGrpcExhausted, "grpc_exhausted",
          {kMaybe, Record::kRelease, Retry::kIfAskedWaitFits, Breaker::kThrottled, Tokens::kKeep},
          Record::kDoneUnknown),
    Maybe(Event::kGrpcTimeout, "grpc_timeout",
          {kMaybe, Record::kRelease, Retry::kAllowed, Breaker::kFailure, Tokens::kKeepObserved,
           /*is_slow=*/true},
          Record::kDoneUnknown),
    Maybe(Event::kGrpcServerError, "grpc_server_error", kServerErrorVerdict, Record::kDoneUnknown),
    Maybe(Event::kRequestCutShort, "request_cut_short",
          {kMaybe, Record::kRelease, Retry::kNever, Breaker::kIgnore, Tokens::kChargeObserved},
          Record::kUnknown),
    Same(Event::kClientGone, "client_gone",
         {kMaybe, Record::kRunOn, Retry::kNever, Breaker::kIgnore, Tokens::kChargeObserved}),
    Same(Event::kClientGoneAfterSlowWait, "client_gone_after_slow_wait",
         {kMaybe, Record::kRunOn, Retry::kNever, Breaker::kIgnore, Tokens::kChargeObserved,
          /*is_slow=*/true}),
};
// clang-format on

constexpr bool RowsAreInOrder() {
  for (size_t i = 0; i < std::size(kRows); ++i) {
    if (kRows[i].event != static_cast<Event>(i)) return false;
  }
  return std::size(kRows) == static_cast<size_t>(Event::kCount);
}
static_assert(RowsAreInOrder());

constexpr const Row& RowOf(Event event) { return kRows[static_cast<size_t>(event)]; }

// The peer says "not now, come back": RFC 9110, 10.2.3, and what the AI SDKs read before it.
bool AsksToComeBack(const http::HeaderList& headers) {
  if (headers.Has(HeaderId::kRetryAfter) || headers.Has(HeaderId::kRetryAfterMs) ||
      headers.Has(HeaderId::kXMsRetryAfterMs)) {
    return true;
  }
  const auto should_retry = headers.Get(HeaderId::kXShouldRetry);
  return should_retry && http::EqualsIgnoreCase(http::TrimOws(*should_retry), "true");
}

bool IsTimeout(Reason reason) {
  switch (reason) {
    case Reason::kTtftTimeout:
    case Reason::kPerTryTimeout:
    case Reason::kDeadline:
    case Reason::kMaxStream:
    case Reason::kInterTokenTimeout:
      return true;
    default:
      return false;
  }
}

}  // namespace

Verdict Decide(Event event, Effects effects, const DecideOptions& options) {
  const Row& row = RowOf(event);
  if (effects != Effects::kUnsafe) return row.repeatable;
  if (event == Event::kUnavailable && options.unavailable_means == UnavailableMeans::kNotExecuted) {
    return row.repeatable;
  }
  return row.unsafe;
}

Event ClassifyResponse(int status, const http::HeaderList& headers) {
  if (status == 101 || (status >= 200 && status < 300)) return Event::kSuccess;
  switch (status) {
    case 401:
      return Event::kUnauthorized;
    case 403:
    case 409:
      return Event::kRefusedByApp;
    case 408:
    case 425:
      return Event::kNotProcessed;
    case 429:
    case 529:
      return Event::kThrottled;
    case 503:
      return AsksToComeBack(headers) ? Event::kThrottled : Event::kUnavailable;
    default:
      break;
  }
  // 6xx..9xx are not HTTP; a client treats them as 5xx (RFC 9110, 15).
  return status >= 500 ? Event::kServerError : Event::kAnswered;
}

Event ClassifyFailure(const http::Failure& failure, bool is_committed) {
  if (is_committed) return Event::kStreamBroken;
  switch (failure.reason) {
    case Reason::kIdemInFlight:
    case Reason::kIdemMismatch:
    case Reason::kIdemResponseNotKept:
    case Reason::kIdemUnknown:
      return Event::kOwnIdempotencyRefusal;
    default:
      break;
  }
  if (failure.phase == Phase::kLocal) return Event::kOwnRejection;
  // Whatever fired while connecting, a timeout included: nothing was sent.
  if (failure.phase == Phase::kConnect) return Event::kConnectFailed;
  if (IsTimeout(failure.reason)) return Event::kTimeout;
  switch (failure.reason) {
    case Reason::kConnectFail:
    case Reason::kNoHealthyUpstream:
      return Event::kConnectFailed;
    case Reason::kUpstreamReset:
    case Reason::kUpstreamProtocol:
      break;
    default:
      // The proxy gave the request up after its first bytes had gone: body too large, body too
      // slow.
      return Event::kRequestCutShort;
  }
  // Only a head that never came: once its first byte is here the peer had not simply hung up.
  if (failure.on_reused_connection && failure.phase != Phase::kBody) {
    // A peer that closes and proves that the stream was not processed is an HTTP/2 GOAWAY.
    return failure.executed == kNo ? Event::kGoawayUnprocessed : Event::kReusedConnectionClosed;
  }
  return failure.executed == kNo ? Event::kStreamRefused : Event::kReset;
}

Event ClassifyStreamError(StreamErrorClass error) {
  switch (error) {
    case StreamErrorClass::kOverloaded:
    case StreamErrorClass::kRateLimit:
      return Event::kStreamErrorThrottled;
    case StreamErrorClass::kInvalidRequest:
      return Event::kStreamErrorInvalid;
    case StreamErrorClass::kNone:
    case StreamErrorClass::kServer:
      break;
  }
  return Event::kStreamErrorServer;
}

Event ClassifyGrpcStatus(int status, bool was_sent) {
  switch (status) {
    case 0:
      return Event::kSuccess;
    case 1:  // CANCELLED
      return Event::kClientGone;
    case 4:  // DEADLINE_EXCEEDED
      return Event::kGrpcTimeout;
    case 8:  // RESOURCE_EXHAUSTED
      return was_sent ? Event::kGrpcExhausted : Event::kGrpcExhaustedUnsent;
    case 7:   // PERMISSION_DENIED
    case 10:  // ABORTED
      return Event::kRefusedByApp;
    case 14:  // UNAVAILABLE
      return was_sent ? Event::kGrpcUnavailable : Event::kGrpcUnavailableUnsent;
    case 16:  // UNAUTHENTICATED
      return Event::kUnauthorized;
    case 3:   // INVALID_ARGUMENT
    case 5:   // NOT_FOUND
    case 6:   // ALREADY_EXISTS
    case 9:   // FAILED_PRECONDITION
    case 11:  // OUT_OF_RANGE
    case 12:  // UNIMPLEMENTED
      return Event::kAnswered;
    default:  // UNKNOWN, INTERNAL, DATA_LOSS and numbers that gRPC does not define
      return Event::kGrpcServerError;
  }
}

Verdict Combine(const Verdict& so_far, const Verdict& next) {
  return so_far.executed > next.executed ? so_far : next;
}

std::string_view EventName(Event event) { return RowOf(event).name; }

}  // namespace outrigger::common
