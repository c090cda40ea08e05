// The one outcome classifier (semantics B0.2): what happened to an attempt, and what every filter
// has to make of it. Retry, breaker, idempotency, limiter and metrics read the same verdict.
//
//   const Event event = ClassifyResponse(response.status, response.headers);
//   const Verdict verdict = Decide(event, route.effects, {.unavailable_means = ...});
//   if (verdict.retry == RetryRule::kNever) ...
//
// What counts is whether the service may have executed the request and whether executing it twice
// is harmful; the status alone says neither. The table is constexpr data in outcome.cc, one row for
// each row of B0.2 and none that depends on state. A request's verdict is the maximum over its
// attempts: fold them with Combine. Pure functions; any thread.

#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/http/failure.h"
#include "proxy/http/headers.h"

namespace outrigger::common {

// What happened: the rows of B0.2. Rows of gRPC and HTTP/2 exist before those protocols do, so that
// the table is complete.
enum class Event : uint8_t {
  kOwnRejection,             // refused by the proxy, by any filter but idempotency
  kOwnIdempotencyRefusal,    // 409, 422 and the replayed unknown outcome
  kConnectFailed,            // name failure, connect refused or timed out, TLS failure
  kStreamRefused,            // HTTP/2 REFUSED_STREAM
  kGoawayUnprocessed,        // HTTP/2 stream above the last id of a GOAWAY
  kReusedConnectionClosed,   // kept-alive connection closed before any response byte
  kReset,                    // reset, EOF or protocol error after request bytes, before the head
  kTimeout,                  // per-try, first-token or overall timeout before commit
  kNotProcessed,             // 408, 425
  kThrottled,                // 429, 529, 503 that asks to come back
  kUnavailable,              // 503 that does not
  kServerError,              // 500, 502, 504 and every other 5xx
  kSuccess,                  // 2xx, complete
  kAnswered,                 // 3xx, and 4xx but those with a row of their own
  kUnauthorized,             // 401
  kRefusedByApp,             // 403, 409
  kStreamErrorThrottled,     // SSE error before content: overloaded, rate limit
  kStreamErrorServer,        // SSE error before content: everything on the server's side
  kStreamErrorInvalid,       // SSE error before content: the request is at fault
  kStreamBroken,             // cut, stall or error event after commit
  kGrpcUnavailableUnsent,    // status 14 although nothing was sent to the service
  kGrpcExhaustedUnsent,      // status 8 although nothing was sent to the service
  kGrpcUnavailable,          // status 14
  kGrpcExhausted,            // status 8
  kGrpcTimeout,              // status 4
  kGrpcServerError,          // status 2, 13, 15
  kRequestCutShort,          // the client's body ended early or was refused midway (ID-12)
  kClientGone,               // the client left while the request was running
  kClientGoneAfterSlowWait,  // the same, after more than `slow.ttft` without a head
  kCount,
};

// What becomes of the idempotency record.
enum class RecordAction : uint8_t {
  kUntouched,     // never touch it
  kStayReserved,  // RESERVED while retrying; released when nothing is tried again
  kRelease,       // to ABSENT: the key is free
  kDone,          // keep the answer
  kDoneUnknown,   // keep the answer and replay it flagged `x-outrigger-outcome: unknown`
  kUnknown,       // the answer is a 502/504 of ours, kept for the key's lifetime (ID-6)
  kTombstone,     // executed, answer not replayable
  kRunOn,         // the execution goes on for the retry; without a key it is cancelled (ID-12)
};

// Whether a retry is allowed, before budget, deadline and breaker are asked.
enum class RetryRule : uint8_t {
  kNever,
  kAllowed,
  kFirstFree,                // the first such retry spends no budget (gRPC A6, transparent retry)
  kOnceFreeOnNewConnection,  // once, on a connection that was not kept alive; spends no budget
  kIfAskedWaitFits,          // only when the wait that was asked for fits (RT-4)
  kOnceWithOwnCredential,    // once, and only when the proxy holds the credential
};

enum class BreakerClass : uint8_t { kIgnore, kSuccess, kFailure, kThrottled };

// What becomes of the limiter's tokens.
enum class TokenAction : uint8_t {
  kNoneCharged,    // the rejection charged nothing
  kRefund,         // give the reservation back
  kKeep,           // keep the estimate until more is known
  kKeepObserved,   // keep the reservation, charge what was seen
  kReconcile,      // settle against the reported usage
  kChargeObserved  // charge what was seen
};

struct Verdict {
  http::Executed executed = http::Executed::kNo;
  RecordAction record = RecordAction::kUntouched;
  RetryRule retry = RetryRule::kNever;
  BreakerClass breaker = BreakerClass::kIgnore;
  TokenAction tokens = TokenAction::kNoneCharged;
  // Also a slow sample of the breaker, whatever `breaker` says (BR-1).
  bool is_slow = false;

  friend constexpr bool operator==(const Verdict&, const Verdict&) = default;
};

// `503_means` of the route: whether a 503 without a hint proves that the handler did not run.
enum class UnavailableMeans : uint8_t { kMaybe, kNotExecuted };

struct DecideOptions {
  UnavailableMeans unavailable_means = UnavailableMeans::kMaybe;
};

enum class StreamErrorClass : uint8_t { kNone, kOverloaded, kRateLimit, kServer, kInvalidRequest };

// The row's verdict for a route of these effects.
Verdict Decide(Event event, http::Effects effects, const DecideOptions& options = {});

// A response head. A 2xx counts as complete: report kStreamBroken when its body fails later.
// REQUIRES: a final status: not 1xx but 101, which opens a tunnel.
Event ClassifyResponse(int status, const http::HeaderList& headers);
// An attempt without a response. `is_committed`: the response had been passed on to the client.
Event ClassifyFailure(const http::Failure& failure, bool is_committed = false);
// An in-band error event before the first content event. REQUIRES: error != kNone.
Event ClassifyStreamError(StreamErrorClass error);
// A gRPC status from trailers. `was_sent`: bytes of the request had reached the service.
Event ClassifyGrpcStatus(int status, bool was_sent);

// The verdict of a request so far and of its next attempt: the one with more execution stands, the
// later one among equals.
Verdict Combine(const Verdict& so_far, const Verdict& next);

// `keyed` is the route's word that the service deduplicates by the forwarded key; a request without
// a key cannot be deduplicated and is as harmful to repeat as `unsafe`.
constexpr http::Effects EffectsOfRequest(http::Effects route, bool has_idempotency_key) {
  return route == http::Effects::kKeyed && !has_idempotency_key ? http::Effects::kUnsafe : route;
}

// A stable word for logs, metrics and `retry.causes`, for example "connect_failed".
std::string_view EventName(Event event);

}  // namespace outrigger::common
