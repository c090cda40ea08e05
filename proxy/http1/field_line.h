// One field line of a head or a trailer section (RFC 9112, 5).

#pragma once

#include <string_view>

#include "proxy/http/headers.h"

namespace outrigger::http1 {

// `line` without its CRLF. Appends the field, whose views point into `line`, and returns an empty
// text; else returns what is wrong, a static text, and appends nothing.
[[nodiscard]] std::string_view ParseFieldLine(std::string_view line, http::HeaderList& fields);

}  // namespace outrigger::http1
