// The responses that the proxy makes itself: the closed list of semantics B0.3 as one table, and
// the builders that turn a reason into status, header fields and body.
//
//   LocalReply reply = BuildLocalReply(failure.reason, {.effects = route.effects,
//                                                       .retry_after = failure.retry_after,
//                                                       .request_id = request.id},
//                                      arena);
//   codec.Send(reply.status, reply.headers(), reply.body);
//
// Every reply carries `x-outrigger-reason` and an explicit `x-should-retry`, which the OpenAI and
// Anthropic SDKs obey before anything else; every 429 and 503 carries `Retry-After` (whole seconds,
// rounded up, at least 1) and `retry-after-ms` (exact). The body is a problem of RFC 9457, or the
// error envelope of the route's API (DG-6). To gRPC callers the same is said in fields:
// grpc-status, grpc-message, and grpc-retry-pushback-ms, by which their libraries wait, or do not
// try again.
//
// All strings of a reply are static or in `arena`: no malloc once the arena has its block, and the
// reply dies with the arena. Pure; any thread.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/base/arena.h"
#include "proxy/http/failure.h"
#include "proxy/http/headers.h"
#include "proxy/http/reason.h"

namespace outrigger::common {

enum class ShouldRetry : uint8_t {
  kFalse,
  kTrue,
  // True where a second execution does no harm: `none`, and `keyed` with a key (ID-6).
  kIfRepeatable,
  kIfWithinMinute,  // true when the wait is at most 60 s
};

// One row of B0.3.
struct ReplyRule {
  http::Reason reason;
  uint16_t status;
  uint8_t grpc_code;
  ShouldRetry should_retry;
  std::string_view problem;  // the problem type behind kProblemTypePrefix
  std::string_view title;
  // Retry-After when the context names none; 0: the reply carries none at all.
  uint32_t default_retry_ms = 0;
  uint32_t min_retry_ms = 0;
  uint32_t max_retry_ms = 0;  // 0: no bound
  bool closes_connection = false;
};

inline constexpr std::string_view kProblemTypePrefix = "urn:outrigger:problem/";

// REQUIRES: a reason of the list (not kNone).
const ReplyRule& RuleOf(http::Reason reason);

enum class ErrorFormat : uint8_t {
  kProblem,
  kOpenAi,
  kAnthropic,
  kGrpc,  // trailers-only: 200 without a body, status and message in fields (PR-3)
};

struct LocalReplyContext {
  // The effects of the request: EffectsOfRequest, so that `keyed` means that a key was sent.
  http::Effects effects = http::Effects::kUnsafe;
  // Time after which the same request may fit; zero: the reason's default.
  absl::Duration retry_after = absl::ZeroDuration();
  std::string_view request_id;
  // One sentence for people, without secrets; empty: the title. ASCII; other bytes are shown as
  // U+FFFD.
  std::string_view detail;
  ErrorFormat format = ErrorFormat::kProblem;
  // For kIdemUnknown: the status that was given first (502 or 504). 0: the table's.
  uint16_t status = 0;
  // An `unsafe` request with a key whose outcome will stay unknown (ID-6): adds
  // `x-outrigger-outcome: unknown` and forbids the retry.
  bool is_outcome_unknown = false;
  // Our own retries or their budget are used up (RT-7): adds `x-outrigger-retries-exhausted: 1`; an
  // `unsafe` request must then not be retried by anyone.
  bool are_retries_exhausted = false;
  // The challenge of a 401.
  std::string_view www_authenticate = "Bearer";
  // Target of the `Link: ...; rel="describedby"` that explains a missing key (ID-1); empty: no
  // link.
  std::string_view described_by;
};

struct LocalReply {
  static constexpr size_t kMaxFields = 12;

  int status = 0;
  int grpc_code = 0;
  // The connection cannot or must not serve another request.
  bool closes_connection = false;
  std::array<http::HeaderField, kMaxFields> fields;
  size_t field_count = 0;
  std::string_view body;

  // Without Content-Length, Date and Connection: those are the codec's.
  std::span<const http::HeaderField> headers() const { return {fields.data(), field_count}; }
};

LocalReply BuildLocalReply(http::Reason reason, const LocalReplyContext& context, Arena& arena);

// What a committed stream ends with before it is aborted: an SSE event `error` with the same object
// as the body above. Append it only at an event boundary (StreamObserver::is_at_event_boundary),
// and never end the body cleanly behind it.
std::string_view BuildStreamError(http::Reason reason, const LocalReplyContext& context,
                                  Arena& arena);

// What a committed answer to a gRPC call ends with in place of the service's trailers.
void BuildGrpcTrailers(http::Reason reason, std::string_view detail, Arena& arena,
                       http::HeaderList& trailers);

}  // namespace outrigger::common
