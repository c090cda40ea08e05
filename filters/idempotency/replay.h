// The head of an answer that a caller gets from a recording (semantics ID-4, ID-11).
//
//   HeaderList headers;
//   AppendReplayedHeaders(recording.head(), {Outcome::kReplayed, expires_in}, arena, headers);
//
// Everything the service sent is repeated, Location and ETag included, except what belonged to the
// first caller or to its connection: hop-by-hop fields and those that Connection names, Date,
// Set-Cookie, WWW-Authenticate, Proxy-*, RateLimit*, X-RateLimit-*, Retry-After (and its -ms
// forms), Server-Timing, traceparent, tracestate, X-Request-Id, X-Envoy-*, X-Outrigger-*. Date and
// X-Request-Id of this answer are added by whoever sends it.
//
// Added:
//   Idempotent-Replayed: true                        (as Stripe does)
//   x-outrigger-original-request-id: ...             (when known)
//   x-outrigger-idempotency: replayed                (or joined)
//   x-outrigger-idempotency-expires: 3541            (when known)
// The expiry is in whole seconds from this answer, rounded down, so that it needs no agreement
// about the time of day; at that moment a repetition may be executed again or refused.
//
// The views point into the recording, which must outlive `headers`, and into `arena`.

#pragma once

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "filters/idempotency/recording.h"
#include "proxy/base/arena.h"
#include "proxy/http/headers.h"

namespace outrigger::idempotency {

// What the filter did, as `x-outrigger-idempotency` says it.
enum class Outcome : uint8_t {
  kStored,    // executed; the answer is kept if it completes
  kReplayed,  // from a complete recording
  kJoined,    // from a running execution
  kReleased,  // executed or refused; not kept, the key is free again
  kBypassed,  // executed without a record
};
std::string_view OutcomeName(Outcome outcome);

// Whether a response field is repeated to another caller. Fields that Connection names are not
// looked at here.
bool IsReplayable(std::string_view name);

// `x-outrigger-idempotency` and, unless `expires_in` is infinite, its expiry: for first callers.
void AppendOutcome(Outcome outcome, absl::Duration expires_in, Arena& arena,
                   http::HeaderList& headers);

struct ReplayInfo {
  Outcome outcome = Outcome::kReplayed;
  absl::Duration expires_in = absl::InfiniteDuration();  // infinite: not said
};
void AppendReplayedHeaders(const RecordedHead& head, const ReplayInfo& info, Arena& arena,
                           http::HeaderList& headers);

}  // namespace outrigger::idempotency
