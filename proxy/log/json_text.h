// JSON strings from bytes that nobody has checked.
//
//   char out[3 * kMaxEscapedBytes];
//   char* end = EscapeJson("a\nb", out);      // a, backslash, n, b
//
// Whatever the input, the output is valid UTF-8 and valid inside a JSON string: bytes that are not
// UTF-8 (RFC 3629: no surrogates, no overlong forms) become U+FFFD.

#pragma once

#include <cstddef>
#include <string_view>

namespace outrigger::log {

// Upper bound of what one byte of input may become.
inline constexpr size_t kMaxEscapedBytes = 6;

// Writes at most kMaxEscapedBytes * text.size() bytes and returns the end of what was written.
char* EscapeJson(std::string_view text, char* out);

// The longest prefix of `text` that has at most `max_bytes` and does not end within a character.
std::string_view Utf8Prefix(std::string_view text, size_t max_bytes);

}  // namespace outrigger::log
