#include "proxy/http1/field_line.h"

#include <cstddef>

#include "proxy/http1/chars.h"

namespace outrigger::http1 {

std::string_view ParseFieldLine(std::string_view line, http::HeaderList& fields) {
  size_t colon = 0;
  while (colon < line.size() && Is(line[colon], kTokenChar)) ++colon;
  if (colon == line.size()) return "field line without a colon";
  if (line[colon] != ':') {
    if (line[colon] != ' ' && line[colon] != '\t') return "character not allowed in a field name";
    // At the start it continues the line before (obs-fold, RFC 9112, 5.2), which some parsers join
    // and others do not; before the colon some strip it and others take it for part of the name.
    return colon == 0 ? "field line begins with white space" : "white space in a field name";
  }
  if (colon == 0) return "empty field name";
  const std::string_view value = http::TrimOws(line.substr(colon + 1));
  if (!IsFieldValue(value)) return "control character in a field value";
  fields.Add(line.substr(0, colon), value);
  return {};
}

}  // namespace outrigger::http1
