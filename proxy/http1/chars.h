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

// Looks at every byte rather than stopping at the first bad one: that is faster for good texts, and
// those are what matters.
inline bool AllAre(std::string_view text, uint8_t char_class) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  size_t left = text.size();
  uint8_t common = char_class;
  for (; left >= 4; at += 4, left -= 4) {
    common &= kCharClass[at[0]] & kCharClass[at[1]] & kCharClass[at[2]] & kCharClass[at[3]];
  }
  for (; left > 0; ++at, --left) common &= kCharClass[*at];
  return common != 0;
}

inline bool IsToken(std::string_view text) { return !text.empty() && AllAre(text, kTokenChar); }

// High bits mark the bytes of `word` that are control characters, and tabs; a high bit behind such
// a byte may be wrong.
inline uint64_t ControlMarks(const char* at) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  uint64_t word;
  std::memcpy(&word, at, sizeof(word));
  const uint64_t del = word ^ (kOnes * 0x7F);
  return ((word - kOnes * 0x20) & ~word) | ((del - kOnes) & ~del);
}

// Sixteen bytes at once: SSE2 on x86-64, NEON on AArch64, plain code elsewhere.
using Bytes16 [[gnu::vector_size(16)]] = uint8_t;

// All bits of the bytes that are control characters but the tab.
inline Bytes16 ControlBytes(const char* at) {
  Bytes16 bytes;
  std::memcpy(&bytes, at, sizeof(bytes));
  return reinterpret_cast<Bytes16>(((bytes < 0x20) & (bytes != '\t')) | (bytes == 0x7F));
}

inline bool HasAny(Bytes16 marks) {
  uint64_t halves[2];
  std::memcpy(halves, &marks, sizeof(marks));
  return (halves[0] | halves[1]) != 0;
}

// Whether `text` may stand as a field's value: no control character but the tab. Short texts a word
// at a time; when a word looks bad, its bytes are looked at one by one.
inline bool IsFieldValue(std::string_view text) {
  if (text.size() < 8) return AllAre(text, kValueChar);
  if (text.size() < 16) {
    const uint64_t marks = ControlMarks(text.data()) | ControlMarks(text.data() + text.size() - 8);
    return (marks & 0x8080808080808080) == 0 || AllAre(text, kValueChar);
  }
  const char* const last = text.data() + text.size() - 16;
  Bytes16 marks = ControlBytes(last);
  for (const char* at = text.data(); at < last; at += 16) marks |= ControlBytes(at);
  return !HasAny(marks);
}

// How many control characters `text` has, tabs included.
inline size_t CountControls(std::string_view text) {
  size_t count = 0;
  while (text.size() >= 16) {
    // A byte-wide counter in each lane holds 255 rounds.
    Bytes16 lanes = {};
    for (int round = 0; round < 255 && text.size() >= 16; ++round, text.remove_prefix(16)) {
      Bytes16 bytes;
      std::memcpy(&bytes, text.data(), sizeof(bytes));
      lanes -= reinterpret_cast<Bytes16>((bytes < 0x20) | (bytes == 0x7F));
    }
    uint64_t halves[2];
    std::memcpy(halves, &lanes, sizeof(lanes));
    for (uint64_t half : halves) {
      // Pairs of lanes, then all of them into the highest sixteen bits.
      constexpr uint64_t kEven = 0x00FF00FF00FF00FF;
      count += (((half & kEven) + ((half >> 8) & kEven)) * 0x0001000100010001) >> 48;
    }
  }
  for (char c : text) count += c != '\t' && Is(c, kValueChar) ? 0 : 1;
  return count;
}

}  // namespace outrigger::http1
