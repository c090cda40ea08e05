// The Date of an answer that has none (RFC 9110, 6.6.1).

#pragma once

#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/event/loop.h"

namespace outrigger::chain {

// "Fri, 20 Nov 2026 14:00:00 GMT", in the arena.
std::string_view HttpDateNow(const Loop& loop, Arena& arena);

}  // namespace outrigger::chain
