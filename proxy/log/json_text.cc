#include "proxy/log/json_text.h"

#include <cstdint>
#include <cstring>

namespace outrigger::log {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Length of the UTF-8 sequence at the start of `text`, or 0. The second byte's range depends on the
// first (Unicode, table 3-7); the others are plain continuations.
size_t SequenceLength(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  const auto second = static_cast<uint8_t>(text[1]);
  if (second < low || second > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!IsContinuation(text[i])) return 0;
  }
  return length;
}

bool IsPlain(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return byte >= 0x20 && byte < 0x7F && c != '"' && c != '\\';
}

char* EscapeControl(char c, char* out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  *out++ = '\\';
  switch (c) {
    case '"':
    case '\\':
      *out++ = c;
      return out;
    case '\n':
      *out++ = 'n';
      return out;
    case '\r':
      *out++ = 'r';
      return out;
    case '\t':
      *out++ = 't';
      return out;
    default:
      break;
  }
  const auto byte = static_cast<uint8_t>(c);
  *out++ = 'u';
  *out++ = '0';
  *out++ = '0';
  *out++ = kHex[byte >> 4];
  *out++ = kHex[byte & 15];
  return out;
}

}  // namespace

char* EscapeJson(std::string_view text, char* out) {
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && IsPlain(text[plain])) ++plain;
    std::memcpy(out, text.data(), plain);
    out += plain;
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (static_cast<uint8_t>(text[0]) < 0x80) {
      out = EscapeControl(text[0], out);
      text.remove_prefix(1);
    } else if (const size_t length = SequenceLength(text); length > 0) {
      std::memcpy(out, text.data(), length);
      out += length;
      text.remove_prefix(length);
    } else {
      constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
      std::memcpy(out, kReplacement.data(), kReplacement.size());
      out += kReplacement.size();
      text.remove_prefix(1);
    }
  }
  return out;
}

std::string_view Utf8Prefix(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  // At most three steps back: more continuation bytes than that are no UTF-8 anyway.
  for (int step = 0; step < 3 && end > 0 && IsContinuation(text[end]); ++step) --end;
  return text.substr(0, end);
}

}  // namespace outrigger::log
