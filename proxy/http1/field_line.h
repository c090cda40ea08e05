// One field line of a head or a trailer section (RFC 9112, 5).

#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/http/headers.h"
#include "proxy/http1/chars.h"

namespace outrigger::http1 {

// Whether the field's name is a token; names that are known in full are not looked at.
inline bool HasTokenName(const http::HeaderField& field) {
  const bool is_known =
      field.id != http::HeaderId::kOther && field.id != http::HeaderId::kXOutrigger;
  return is_known || IsToken(field.name);
}

// Whether the name is a token without capital letters, as RFC 9113, 8.2 wants it. `id`: its own.
inline bool IsLowerName(std::string_view name, http::HeaderId id) {
  const bool is_known = id != http::HeaderId::kOther && id != http::HeaderId::kXOutrigger;
  // Known in full but for the case: letters, in which this bit tells it, and hyphens, which have
  // it.
  if (is_known) return AllHave(name, 0x20);
  return !name.empty() && AllAre(name, kLowerTokenChar);
}

// Whether nobody could take the field for another or for more than one.
inline bool IsSafe(const http::HeaderField& field) {
  return field.is_checked || (HasTokenName(field) && IsFieldValue(field.value));
}

// `line` without its CRLF. Appends the field, whose views point into `line`, and returns an empty
// text; else returns what is wrong, a static text, and appends nothing.
[[nodiscard]] std::string_view ParseFieldLine(std::string_view line, http::HeaderList& fields);

// The same for whole lines at the start of `text`, a part of `buffer`, as nearly all of them are:
// in one pass over their bytes, up to the first line that is empty, not complete or not right.
struct TakenLines {
  size_t bytes = 0;
  size_t fields = 0;
};
[[nodiscard]] TakenLines TakeFieldLines(std::string_view text, size_t max_fields,
                                        http::HeaderList& fields);

}  // namespace outrigger::http1
