// One field line of a head or a trailer section (RFC 9112, 5).

#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/http/headers.h"

namespace outrigger::http1 {

// `line` without its CRLF. Appends the field, whose views point into `line`, and returns an empty
// text; else returns what is wrong, a static text, and appends nothing.
[[nodiscard]] std::string_view ParseFieldLine(std::string_view line, http::HeaderList& fields);

// The same for a line whose end is not known yet, at the start of `text`, a part of `buffer`:
// appends the field and returns how long the line is with its CRLF, in one pass over its bytes. 0:
// the line is not complete, or there is something wrong with it, or it is the empty line; nothing
// was appended.
[[nodiscard]] size_t TakeFieldLine(std::string_view buffer, std::string_view text,
                                   http::HeaderList& fields);

}  // namespace outrigger::http1
