#include "filters/idempotency/key.h"

#include <algorithm>

namespace outrigger::idempotency {
namespace {

ParsedKey Invalid(std::string_view problem) { return {ParsedKey::State::kInvalid, {}, problem}; }

bool IsVisible(char c) { return c > 0x20 && c < 0x7f; }

ParsedKey Checked(std::string_view key) {
  if (key.empty()) return Invalid("the idempotency key is empty");
  if (key.size() > kMaxKeyBytes)
    return Invalid("the idempotency key is longer than 255 characters");
  if (!std::all_of(key.begin(), key.end(), IsVisible)) {
    return Invalid("the idempotency key has characters other than visible ASCII");
  }
  return {ParsedKey::State::kValid, key, {}};
}

// REQUIRES: `value` starts with a quote.
ParsedKey ParseQuoted(std::string_view value, Arena& arena) {
  const std::string_view inside = value.substr(1);
  size_t escapes = 0;
  size_t end = 0;
  for (;; ++end) {
    if (end >= inside.size()) return Invalid("the idempotency key has no closing quote");
    if (inside[end] == '"') break;
    if (inside[end] != '\\') continue;
    ++escapes;
    ++end;
    if (end >= inside.size() || (inside[end] != '"' && inside[end] != '\\')) {
      return Invalid("the idempotency key has a backslash before neither a quote nor a backslash");
    }
  }
  if (end + 1 != inside.size()) {
    return Invalid("the idempotency key is followed by something after its closing quote");
  }
  const std::string_view quoted = inside.substr(0, end);
  if (escapes == 0) return Checked(quoted);
  // Before copying, so that a giant value costs no memory.
  if (quoted.size() - escapes > kMaxKeyBytes) {
    return Invalid("the idempotency key is longer than 255 characters");
  }
  char* const out = arena.Allocate(quoted.size() - escapes);
  char* at = out;
  for (size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] == '\\') ++i;
    *at++ = quoted[i];
  }
  return Checked({out, static_cast<size_t>(at - out)});
}

}  // namespace

ParsedKey ParseKeyValue(std::string_view value, Arena& arena) {
  value = http::TrimOws(value);
  if (!value.empty() && value.front() == '"') return ParseQuoted(value, arena);
  if (std::any_of(value.begin(), value.end(), [](char c) { return c == '"' || c == ','; })) {
    return Invalid("the idempotency key has a comma or a quote but is not a quoted string");
  }
  return Checked(value);
}

ParsedKey ParseKey(const http::HeaderList& headers, std::span<const std::string> names,
                   Arena& arena) {
  ParsedKey found;
  for (const http::HeaderField& field : headers) {
    const bool is_key = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return field.name.size() == name.size() && http::EqualsIgnoreCase(field.name, name);
    });
    if (!is_key) continue;
    const ParsedKey key = ParseKeyValue(field.value, arena);
    if (key.state == ParsedKey::State::kInvalid) return key;
    if (found.state == ParsedKey::State::kValid && found.key != key.key) {
      return Invalid("the request has several different idempotency keys");
    }
    found = key;
  }
  return found;
}

}  // namespace outrigger::idempotency
