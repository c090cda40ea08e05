// Host and port as they stand in Host and in targets of absolute form (RFC 9110, 4.2 and 7.2).

#pragma once

#include <string_view>

namespace outrigger::http1 {

// A host (name, IPv4 address or IPv6 address in brackets) with an optional port. An empty host is
// refused, and so is user information: it hides the true host from people.
bool IsValidAuthority(std::string_view text);

// Whether both name the same host and port, where `default_port` ("80", "443") may be left out.
// REQUIRES: both are valid.
bool IsSameAuthority(std::string_view a, std::string_view b, std::string_view default_port);

}  // namespace outrigger::http1
