// Stands in a log line for a value that must not be logged itself: a tenant, a key's owner.
//
//   log.Info("request").Str("tenant", HashForLog(authorization));
//
// Equal values give equal hashes, in every process. It hides a value that cannot be guessed; it is
// no protection for one that can.

#pragma once

#include <string>
#include <string_view>

namespace outrigger::log {

// The first 16 hexadecimal digits of SHA-256.
std::string HashForLog(std::string_view value);

}  // namespace outrigger::log
