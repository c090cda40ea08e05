#include "proxy/log/line.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "proxy/log/json_text.h"

namespace outrigger::log {

void Line::Clear() {
  data_[0] = '{';
  size_ = 1;
  depth_ = 0;
  ignored_depth_ = 0;
  is_truncated_ = false;
}

char* Line::StartField(std::string_view key, size_t value_bytes) {
  const size_t needed = key.size() + 4 + value_bytes;  // comma, quotes, colon
  if (is_truncated_ || size_ + needed + kTailBytes > kMaxBytes) {
    is_truncated_ = true;
    return nullptr;
  }
  char* at = data_ + size_;
  if (at[-1] != '{' && at[-1] != '[') *at++ = ',';
  if (!key.empty()) {
    *at++ = '"';
    std::memcpy(at, key.data(), key.size());
    at += key.size();
    *at++ = '"';
    *at++ = ':';
  }
  return at;
}

Line& Line::Str(std::string_view key, std::string_view value) {
  value = Utf8Prefix(value, kMaxValueBytes);
  char* at = StartField(key, value.size() * kMaxEscapedBytes + 2);
  if (at == nullptr) return *this;
  *at++ = '"';
  at = EscapeJson(value, at);
  *at++ = '"';
  size_ = static_cast<size_t>(at - data_);
  return *this;
}

Line& Line::Plain(std::string_view key, std::string_view value) {
  char* at = StartField(key, value.size());
  if (at == nullptr) return *this;
  std::memcpy(at, value.data(), value.size());
  size_ = static_cast<size_t>(at - data_) + value.size();
  return *this;
}

Line& Line::Int(std::string_view key, int64_t value) {
  const fmt::format_int text(value);
  return Plain(key, {text.data(), text.size()});
}

Line& Line::Uint(std::string_view key, uint64_t value) {
  const fmt::format_int text(value);
  return Plain(key, {text.data(), text.size()});
}

Line& Line::Float(std::string_view key, double value) {
  if (!std::isfinite(value)) return Plain(key, "null");
  char text[40];
  const char* end = fmt::format_to(text, "{}", value);
  return Plain(key, {text, static_cast<size_t>(end - text)});
}

Line& Line::Bool(std::string_view key, bool value) { return Plain(key, value ? "true" : "false"); }

Line& Line::Millis(std::string_view key, int64_t nanos) {
  const bool is_negative = nanos < 0;
  const uint64_t micros =
      (is_negative ? 0 - static_cast<uint64_t>(nanos) : static_cast<uint64_t>(nanos)) / 1000;
  const fmt::format_int whole(micros / 1000);
  char text[32];
  char* at = text;
  if (is_negative) *at++ = '-';
  std::memcpy(at, whole.data(), whole.size());
  at += whole.size();
  const auto rest = static_cast<unsigned>(micros % 1000);
  *at++ = '.';
  *at++ = static_cast<char>('0' + rest / 100);
  *at++ = static_cast<char>('0' + rest / 10 % 10);
  *at++ = static_cast<char>('0' + rest % 10);
  return Plain(key, {text, static_cast<size_t>(at - text)});
}

Line& Line::Begin(std::string_view key, char open, char close) {
  char* at = StartField(key, 1);
  if (at == nullptr) {
    ++ignored_depth_;
    return *this;
  }
  if (depth_ == kMaxDepth) std::abort();
  *at++ = open;
  closers_[depth_++] = close;
  size_ = static_cast<size_t>(at - data_);
  return *this;
}

Line& Line::End() {
  if (ignored_depth_ > 0) {
    --ignored_depth_;
  } else if (depth_ > 0) {
    data_[size_++] = closers_[--depth_];
  }
  return *this;
}

std::string_view Line::Finish() {
  ignored_depth_ = 0;
  while (depth_ > 0) End();
  if (is_truncated_) {
    constexpr std::string_view kMark = ",\"truncated\":true";
    const std::string_view mark = data_[size_ - 1] == '{' ? kMark.substr(1) : kMark;
    std::memcpy(data_ + size_, mark.data(), mark.size());
    size_ += mark.size();
  }
  data_[size_++] = '}';
  data_[size_++] = '\n';
  return {data_, size_};
}

}  // namespace outrigger::log
