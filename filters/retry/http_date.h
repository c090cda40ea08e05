// Dates of HTTP fields in the three forms of RFC 9110, 5.6.7.
//
//   std::optional<absl::Time> date = ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT", absl::Now());
//
// Also "Sunday, 06-Nov-94 08:49:37 GMT" (RFC 850) and "Sun Nov  6 08:49:37 1994" (asctime). A year
// of two digits that would be more than 50 years after `now` is in the century before. The name of
// the day must be one, but is not compared with the date. nullopt for everything else. Pure; any
// thread.

#pragma once

#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace outrigger::retry {

std::optional<absl::Time> ParseHttpDate(std::string_view text, absl::Time now);

}  // namespace outrigger::retry
