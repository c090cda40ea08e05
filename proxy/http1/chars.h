// The character classes of HTTP/1.1 as one table.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace outrigger::http1 {

inline constexpr uint8_t kTokenChar = 1;   // tchar of RFC 9110, 5.6.2
inline constexpr uint8_t kTargetChar = 2;  // visible ASCII but '#'
inline constexpr uint8_t kHostChar = 4;    // reg-name of RFC 3986, 3.2.2, without escapes
inline constexpr uint8_t kDigitChar = 8;
inline constexpr uint8_t kHexChar = 16;
inline constexpr uint8_t kValueChar = 32;  // visible, space, tab and obs-text

inline constexpr std::array<uint8_t, 256> kCharClass = [] {
  std::array<uint8_t, 256> table{};
  const auto mark = [&](std::string_view chars, uint8_t bit) {
    for (char c : chars) table[static_cast<unsigned char>(c)] |= bit;
  };
  constexpr std::string_view kAlpha = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr std::string_view kDigits = "0123456789";
  mark(kAlpha, kTokenChar | kHostChar);
  mark(kDigits, kTokenChar | kHostChar | kDigitChar | kHexChar);
  mark("abcdefABCDEF", kHexChar);
  mark("!#$%&'*+-.^_`|~", kTokenChar);
  mark("-._~!$&'()*+,;=", kHostChar);
  for (size_t c = 0x21; c <= 0x7E; ++c) table[c] |= kTargetChar | kValueChar;
  table['#'] &= static_cast<uint8_t>(~kTargetChar);
  for (size_t c = 0x80; c <= 0xFF; ++c) table[c] |= kValueChar;
  mark(" \t", kValueChar);
  return table;
}();

inline bool Is(char c, uint8_t char_class) {
  return (kCharClass[static_cast<unsigned char>(c)] & char_class) != 0;
}

inline bool AllAre(std::string_view text, uint8_t char_class) {
  for (char c : text) {
    if (!Is(c, char_class)) return false;
  }
  return true;
}

inline bool IsToken(std::string_view text) { return !text.empty() && AllAre(text, kTokenChar); }

// Whether `text` may stand as a field's value: no control character but the tab. Eight bytes at a
// time; whatever looks like a control character there is looked at again one by one.
inline bool IsFieldValue(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHigh = kOnes * 0x80;
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    const uint64_t del = word ^ (kOnes * 0x7F);
    const uint64_t below_space = (word - kOnes * 0x20) & ~word;
    const uint64_t is_del = (del - kOnes) & ~del;
    if (((below_space | is_del) & kHigh) != 0 && !AllAre({at, 8}, kValueChar)) return false;
  }
  return AllAre({at, left}, kValueChar);
}

}  // namespace outrigger::http1
