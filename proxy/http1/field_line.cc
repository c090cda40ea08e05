#include "proxy/http1/field_line.h"

#include <bit>
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

bool IsControl(char c) { return c != '\t' && !Is(c, kValueChar); }

// The first control character but the tab, or `limit`; and the first colon before it, if there is
// one. `begin`: bytes from there to `at` may be read.
inline const char* FindLineEnd(const char* begin, const char* at, const char* limit,
                               const char*& colon) {
  // Looks at the sixteen bytes of which the first `skipped` were seen before.
  const auto look = [&](const char* from, unsigned skipped) -> const char* {
    const Bytes16 bytes = Load16(from);
    const uint32_t controls = BitsOf(MarkControls(bytes) & Bytes16(bytes != '\t')) >> skipped;
    if (colon == nullptr) {
      // Those behind the first control character are none of this line.
      const uint32_t colons =
          (BitsOf(Bytes16(bytes == ':')) >> skipped) & (controls - 1) & ~controls;
      if (colons != 0) colon = at + std::countr_zero(colons);
    }
    return controls != 0 ? at + std::countr_zero(controls) : nullptr;
  };
  for (; limit - at >= 16; at += 16) {
    if (const char* const end = look(at, 0); end != nullptr) return end;
  }
  if (limit - begin >= 16) {
    const char* const end = look(limit - 16, static_cast<unsigned>(16 - (limit - at)));
    return end != nullptr ? end : limit;
  }
  for (; at != limit && !IsControl(*at); ++at) {
    if (colon == nullptr && *at == ':') colon = at;
  }
  return at;
}

// Sets the field's parts; false when its name is none. Does not look at the value but for the white
// space around it.
[[gnu::always_inline]] inline bool SplitField(std::string_view line, size_t colon,
                                              http::HeaderField& field) {
  field.name = line.substr(0, colon);
  field.id = http::ClassifyHeader(field.name);
  if (!HasTokenName(field)) return false;
  const char* begin = line.data() + colon + 1;
  const char* const end = line.data() + line.size();
  if (begin != end && *begin == ' ') ++begin;
  field.value = {begin, static_cast<size_t>(end - begin)};
  if (begin != end && (IsOws(*begin) || IsOws(end[-1]))) field.value = http::TrimOws(field.value);
  field.is_checked = true;  // by the caller as to the value
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

TakenLines TakeFieldLines(std::string_view text, size_t max_fields, http::HeaderList& fields) {
  const char* line = text.data();
  const char* const limit = line + text.size();
  TakenLines taken;
  while (taken.fields < max_fields) {
    const char* colon = nullptr;
    const char* const end = FindLineEnd(text.data(), line, limit, colon);
    if (limit - end < 2 || std::memcmp(end, "\r\n", 2) != 0 || colon == nullptr) break;
    http::HeaderField field;
    if (!SplitField({line, static_cast<size_t>(end - line)}, static_cast<size_t>(colon - line),
                    field)) {
      break;
    }
    fields.Add(field);
    line = end + 2;
    ++taken.fields;
  }
  taken.bytes = static_cast<size_t>(line - text.data());
  return taken;
}

}  // namespace outrigger::http1
