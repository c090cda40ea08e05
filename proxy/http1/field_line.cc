#include "proxy/http1/field_line.h"

#include <cstddef>
#include <cstring>

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

// Sets the field's parts; false when its name is none. Does not look at the value but for the white
// space around it.
inline bool SplitField(std::string_view line, size_t colon, http::HeaderField& field) {
  field.name = line.substr(0, colon);
  field.id = http::ClassifyHeader(field.name);
  // Names that are known in full are tokens.
  const bool is_known =
      field.id != http::HeaderId::kOther && field.id != http::HeaderId::kXOutrigger;
  if (!is_known && !IsToken(field.name)) return false;
  const char* begin = line.data() + colon + 1;
  const char* const end = line.data() + line.size();
  if (begin != end && *begin == ' ') ++begin;
  field.value = {begin, static_cast<size_t>(end - begin)};
  if (begin != end && (IsOws(*begin) || IsOws(end[-1]))) field.value = http::TrimOws(field.value);
  return true;
}

}  // namespace

std::string_view ParseFieldLine(std::string_view line, http::HeaderList& fields) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return NameProblem(line);
  http::HeaderField field;
  if (!SplitField(line, colon, field)) return NameProblem(line);
  if (!IsFieldValue(field.value)) return "control character in a field value";
  fields.Add(field);
  return {};
}

size_t TakeFieldLine(std::string_view buffer, std::string_view text, http::HeaderList& fields) {
  const size_t end = FindControl(buffer, text);
  if (text.size() - end < 2 || std::memcmp(text.data() + end, "\r\n", 2) != 0) return 0;
  const size_t colon = FindMarked(
      buffer, text, [](Bytes16 bytes) { return reinterpret_cast<Bytes16>(bytes == ':'); });
  http::HeaderField field;
  if (colon >= end || !SplitField(text.substr(0, end), colon, field)) return 0;
  fields.Add(field);
  return end + 2;
}

}  // namespace outrigger::http1
