// What a response says about trying again (semantics RT-4).
//
//   const RetryHint hint = ReadRetryHint(response.status, response.headers, absl::Now());
//   if (hint.is_forbidden) ...               // x-should-retry: false, or negative pushback
//   if (hint.wait) ...                       // wait at least this long
//
// The first source that has a usable value wins, in this order: `retry-after-ms`,
// `x-ms-retry-after-ms`, `Retry-After` (seconds, with a fraction or without, or an HTTP date in one
// of the three forms of RFC 9110, 5.6.7), `grpc-retry-pushback-ms`, and on a 429 only
// `x-ratelimit-reset-requests` and `-tokens` (Go durations, seconds, or the time since
// 1970) of the
// dimension whose `x-ratelimit-remaining-` is 0. What is empty, negative or not of the form is
// treated as absent; a value too large to count is infinite, so that it is passed through and never
// retried early. Of several fields of one name, or of a list in one field, the longest wait counts.
//
// A date is compared with the response's own `Date`: the peer's clock, not ours, made both (trap
// 12). Negative or unreadable pushback forbids the retry (gRPC A6). Pure; any thread.

#pragma once

#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/base/random.h"
#include "proxy/http/headers.h"

namespace outrigger::retry {

struct RetryHint {
  // x-should-retry: false, or pushback that says so.
  bool is_forbidden = false;
  // The wait asked for, not negative; infinite when it cannot be counted.
  std::optional<absl::Duration> wait;
};

RetryHint ReadRetryHint(int status, const http::HeaderList& headers, absl::Time now);

// An asked wait plus U(0, 10 %), so that the callers of one refusal do not come back together.
absl::Duration WithJitter(absl::Duration wait, Random& random);

// The parsers, for tests and for other readers of such fields. nullopt: not of the form.

// Digits, at most one dot, nothing else: "1", "1.5", ".5". In units of `unit`.
std::optional<absl::Duration> ParseDecimal(std::string_view text, absl::Duration unit);
// "1s", "6m0s", "1h2m3.5s", "120ms", "15us"; no sign.
std::optional<absl::Duration> ParseGoDuration(std::string_view text);

}  // namespace outrigger::retry
