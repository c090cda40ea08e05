// Why the proxy answered in place of the service: the closed list of semantics B0.3.
//
// Every response that the proxy makes itself carries one of these as `x-outrigger-reason`; the
// status, the gRPC code, the retry hints and the problem type follow from it in one table
// (local_reply.h). Metrics and the access log use the same words.

#pragma once

#include <cstdint>
#include <string_view>

namespace outrigger::http {

enum class Reason : uint8_t {
  kNone = 0,  // the response came from upstream
  kBadRequest,
  kSchema,
  kIdemKeyMissing,
  kIdemKeyInvalid,
  kAuthMissing,
  kAuthInvalid,
  kForbidden,
  kRequestTimeout,
  kNoRoute,
  kUriTooLong,
  kNotImplemented,
  kHttpVersion,
  kLoopDetected,
  kIdemUnknown,
  kIdemInFlight,
  kIdemResponseNotKept,
  kBodyTooLarge,
  kHeadersTooLarge,
  kIdemMismatch,
  kRateRequests,
  kRateTokens,
  kRateReplays,
  kThrottled,
  kCostExceedsLimit,
  kUpstreamProtocol,
  kUpstreamReset,
  kConnectFail,
  kNoHealthyUpstream,
  kBreakerOpen,
  kConcurrency,
  kQueueFull,
  kQueueTimeout,
  kOverloadMemory,
  kIdemStoreFull,
  kIdemStoreUnavailable,
  kDraining,
  kTtftTimeout,
  kPerTryTimeout,
  kDeadline,
  kMaxStream,
  kInterTokenTimeout,
  kCount,
};

// The word on the wire, for example "breaker_open"; empty for kNone.
std::string_view ReasonName(Reason reason);

}  // namespace outrigger::http
