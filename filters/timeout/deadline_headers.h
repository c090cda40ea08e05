// How long the caller is going to wait, and telling the service how much of that is left (semantics
// TO-6).
//
//   const CallerTimeout caller = ReadCallerTimeout(request.headers, trust);
//   const absl::Duration effective = std::min(policy.overall, caller.timeout);
//   if (effective <= absl::ZeroDuration()) return Failure{.reason = Reason::kDeadline};
//   ...
//   upstream_headers.Add("x-request-timeout-ms", FormatMillis(deadline - now, arena));
//
// The shortest of `grpc-timeout`, `x-request-timeout-ms`, `x-envoy-expected-rq-timeout-ms` and,
// only from trusted callers, `x-stainless-read-timeout` (whole seconds or with a fraction) counts.
// A caller can only shorten what the route allows: the effective deadline is the minimum of both.
// So a hostile value harms nobody but its sender, and what is not of its form (empty, negative,
// signs, units, more digits than a clock can need) is ignored as if it were absent, not refused:
// the SDKs send "None", proxies merge fields. A value of zero has expired, except from Envoy, where
// it means "no timeout".
//
// Pure; any thread. Formatted values live in the arena.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/base/arena.h"
#include "proxy/http/headers.h"

namespace outrigger::timeout {

enum class TimeoutSource : uint8_t { kNone, kGrpc, kRequestTimeout, kEnvoy, kStainless };

struct DeadlineTrust {
  bool trusts_read_timeout = false;
};

struct CallerTimeout {
  absl::Duration timeout = absl::InfiniteDuration();  // never negative
  TimeoutSource source = TimeoutSource::kNone;
};

CallerTimeout ReadCallerTimeout(const http::HeaderList& headers, const DeadlineTrust& trust = {});

// The field's name for logs, for example "grpc-timeout"; empty for kNone.
std::string_view TimeoutSourceName(TimeoutSource source);

// The remaining time in whole milliseconds, rounded down so that the service gives up before we do,
// at least 1. REQUIRES: remaining is finite.
std::string_view FormatMillis(absl::Duration remaining, Arena& arena);

}  // namespace outrigger::timeout
