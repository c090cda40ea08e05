#include "filters/common/json_cursor.h"

#include <charconv>
#include <cstring>

namespace outrigger::common {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool IsScalarByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '+' || c == '.';
}

}  // namespace

JsonType JsonCursor::Peek() {
  SkipSpace();
  if (has_failed_ || at_ >= text_.size()) return JsonType::kNone;
  const char c = text_[at_];
  if (c == '{') return JsonType::kObject;
  if (c == '[') return JsonType::kArray;
  if (c == '"') return JsonType::kString;
  if (c == '-' || (c >= '0' && c <= '9')) return JsonType::kNumber;
  return IsScalarByte(c) ? JsonType::kLiteral : JsonType::kNone;
}

bool JsonCursor::NextKey(std::string_view* key) {
  SkipSpace();
  if (has_failed_ || at_ >= text_.size()) return Fail();
  if (text_[at_] == '}') {
    ++at_;
    is_first_ = false;
    return false;
  }
  if (!is_first_) {
    if (text_[at_] != ',') return Fail();
    ++at_;
  }
  is_first_ = false;
  if (Peek() != JsonType::kString || !ReadString(key)) return Fail();
  SkipSpace();
  if (at_ >= text_.size() || text_[at_] != ':') return Fail();
  ++at_;
  return true;
}

bool JsonCursor::NextElement() {
  SkipSpace();
  if (has_failed_ || at_ >= text_.size()) return Fail();
  if (text_[at_] == ']') {
    ++at_;
    is_first_ = false;
    return false;
  }
  if (!is_first_) {
    if (text_[at_] != ',') return Fail();
    ++at_;
  }
  is_first_ = false;
  return Peek() != JsonType::kNone || Fail();
}

bool JsonCursor::ReadString(std::string_view* value) {
  if (Peek() != JsonType::kString) return false;
  const size_t end = StringEnd(at_);
  if (end == kNone) return Fail();
  *value = text_.substr(at_ + 1, end - at_ - 2);
  at_ = end;
  return true;
}

bool JsonCursor::ReadInteger(int64_t* value) {
  if (Peek() != JsonType::kNumber) return false;
  const char* end = text_.data() + text_.size();
  const auto [next, error] = std::from_chars(text_.data() + at_, end, *value);
  if (error != std::errc() || (next != end && IsScalarByte(*next))) return false;
  at_ = static_cast<size_t>(next - text_.data());
  return true;
}

bool JsonCursor::IsEmptyValue() {
  const JsonType type = Peek();
  const std::string_view rest = text_.substr(at_);
  if (type == JsonType::kString) return rest.substr(0, 2) == "\"\"";
  if (type == JsonType::kLiteral) return rest.substr(0, 4) == "null";
  if (type != JsonType::kObject && type != JsonType::kArray) return false;
  const size_t next = rest.find_first_not_of(" \t\r\n", 1);
  return next != kNone && (rest[next] == '}' || rest[next] == ']');
}

bool JsonCursor::SkipValue() {
  size_t depth = 0;
  do {
    SkipSpace();
    if (has_failed_ || at_ >= text_.size()) return Fail();
    const char c = text_[at_];
    if (c == '"') {
      const size_t end = StringEnd(at_);
      if (end == kNone) return Fail();
      at_ = end;
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at_;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return Fail();
      --depth;
      ++at_;
    } else if (IsScalarByte(c)) {
      while (at_ < text_.size() && IsScalarByte(text_[at_])) ++at_;
    } else if (depth > 0 && (c == ',' || c == ':')) {
      ++at_;
    } else {
      return Fail();
    }
  } while (depth > 0);
  return true;
}

void JsonCursor::SkipSpace() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
    ++at_;
  }
}

bool JsonCursor::Enter(char open) {
  SkipSpace();
  if (has_failed_ || at_ >= text_.size() || text_[at_] != open) return false;
  ++at_;
  is_first_ = true;
  return true;
}

bool JsonCursor::Fail() {
  has_failed_ = true;
  return false;
}

size_t JsonCursor::StringEnd(size_t begin) const {
  for (size_t from = begin + 1; from < text_.size();) {
    const void* quote = std::memchr(text_.data() + from, '"', text_.size() - from);
    if (quote == nullptr) return kNone;
    const size_t at = static_cast<size_t>(static_cast<const char*>(quote) - text_.data());
    // A quote behind an odd number of backslashes is part of the string.
    size_t slashes = 0;
    while (at - slashes - 1 > begin && text_[at - slashes - 1] == '\\') ++slashes;
    if (slashes % 2 == 0) return at + 1;
    from = at + 1;
  }
  return kNone;
}

}  // namespace outrigger::common
