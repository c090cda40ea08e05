// The `grpc-timeout` field: how long the caller of a gRPC call waits (gRPC over HTTP/2, "Timeout").
//
//   ParseTimeout("250m") == absl::Milliseconds(250);  FormatTimeout(absl::Seconds(1), arena) == ...
//
// Pure; any thread.

#pragma once

#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/base/arena.h"

namespace outrigger::grpc {

// One to eight digits and a unit of H M S m u n; nothing else is one.
std::optional<absl::Duration> ParseTimeout(std::string_view text);

// In the finest unit that needs at most eight digits, and never more than `remaining`, but at least
// 1n: a call that was passed on has a deadline.
std::string_view FormatTimeout(absl::Duration remaining, Arena& arena);

}  // namespace outrigger::grpc
