#include "proxy/http1/field_line.h"

#include <cstddef>

#include "proxy/http1/chars.h"

namespace outrigger::http1 {

namespace {

bool IsOws(char c) { return c == ' ' || c == '\t'; }

// Why `line` has no valid name before a colon.
std::string_view NameProblem(std::string_view line) {
  size_t at = 0;
  while (at < line.size() && Is(line[at], kTokenChar)) ++at;
  if (at == line.size()) return "field line without a colon";
  if (line[at] == ':') return "empty field name";
  if (!IsOws(line[at])) return "character not allowed in a field name";
  // At the start it continues the line before (obs-fold, RFC 9112, 5.2), which some parsers join
  // and others do not; before the colon some strip it and others take it for part of the name.
  return at == 0 ? "field line begins with white space" : "white space in a field name";
}

}  // namespace

std::string_view ParseFieldLine(std::string_view line, http::HeaderList& fields) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return NameProblem(line);
  http::HeaderField field{line.substr(0, colon), line.substr(colon + 1)};
  field.id = http::ClassifyHeader(field.name);
  // Names that are known in full are tokens.
  const bool is_known =
      field.id != http::HeaderId::kOther && field.id != http::HeaderId::kXOutrigger;
  if (!is_known && !IsToken(field.name)) return NameProblem(line);
  if (!field.value.empty() && field.value.front() == ' ') field.value.remove_prefix(1);
  if (!field.value.empty() && (IsOws(field.value.front()) || IsOws(field.value.back()))) {
    field.value = http::TrimOws(field.value);
  }
  if (!IsFieldValue(field.value)) return "control character in a field value";
  fields.Add(field);
  return {};
}

}  // namespace outrigger::http1
