// The character classes of HTTP/1.1 as one table.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace outrigger::http1 {

inline constexpr uint8_t kTokenChar = 1;   // tchar of RFC 9110, 5.6.2
inline constexpr uint8_t kTargetChar = 2;  // visible ASCII but '#'
inline constexpr uint8_t kHostChar = 4;    // reg-name of RFC 3986, 3.2.2, without escapes
inline constexpr uint8_t kDigitChar = 8;
inline constexpr uint8_t kHexChar = 16;
inline constexpr uint8_t kValueChar = 32;       // visible, space, tab and obs-text
inline constexpr uint8_t kLowerTokenChar = 64;  // tchar but capital letters: names in HTTP/2

inline constexpr std::array<uint8_t, 256> kCharClass = [] {
  std::array<uint8_t, 256> table{};
  const auto mark = [&](std::string_view chars, uint8_t bit) {
    for (char c : chars) table[static_cast<unsigned char>(c)] |= bit;
  };
  constexpr std::string_view kAlpha = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr std::string_view kLower = kAlpha.substr(0, 26);
  constexpr std::string_view kDigits = "0123456789";
  mark(kAlpha, kTokenChar | kHostChar);
  mark(kDigits, kTokenChar | kHostChar | kDigitChar | kHexChar);
  mark("abcdefABCDEF", kHexChar);
  mark("!#$%&'*+-.^_`|~", kTokenChar | kLowerTokenChar);
  mark(kLower, kLowerTokenChar);
  mark(kDigits, kLowerTokenChar);
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

// Whether every byte has these bits.
inline bool AllHave(std::string_view text, uint8_t bits) {
  constexpr size_t kWord = sizeof(uint64_t);
  const uint64_t wanted = 0x0101010101010101 * bits;
  uint64_t common = wanted;
  const auto look = [&](const char* at) {
    uint64_t word;
    std::memcpy(&word, at, kWord);
    common &= word;
  };
  if (text.size() < kWord) {
    for (char c : text) common &= static_cast<unsigned char>(c) | (wanted & ~uint64_t{0xFF});
    return common == wanted;
  }
  const char* const last = text.data() + text.size() - kWord;
  for (const char* at = text.data(); at < last; at += kWord) look(at);
  look(last);
  return common == wanted;
}

inline bool IsToken(std::string_view text) { return !text.empty() && AllAre(text, kTokenChar); }

// Sixteen bytes at once: SSE2 on x86-64, NEON on AArch64, plain code elsewhere. Comparisons set all
// bits of a byte or none.
using Bytes16 [[gnu::vector_size(16)]] = uint8_t;

inline Bytes16 Load16(const char* at) {
  Bytes16 bytes;
  std::memcpy(&bytes, at, sizeof(bytes));
  return bytes;
}

// One bit for each byte, the first in bit 0. REQUIRES: all bits of a byte are the same.
inline uint32_t BitsOf(Bytes16 marks) {
#if defined(__SSE2__)
  return static_cast<uint32_t>(_mm_movemask_epi8(reinterpret_cast<__m128i>(marks)));
#else
  uint64_t halves[2];
  std::memcpy(halves, &marks, sizeof(marks));
  const auto bits = [](uint64_t half) {
    return static_cast<uint32_t>(((half & 0x8040201008040201) * 0x0101010101010101) >> 56);
  };
  return bits(halves[0]) | bits(halves[1]) << 8;
#endif
}

inline Bytes16 MarkControls(Bytes16 bytes) {
  return reinterpret_cast<Bytes16>((bytes < 0x20) | (bytes == 0x7F));
}

// Whether `text` may stand as a field's value: no control character but the tab.
inline bool IsFieldValue(std::string_view text) {
  if (text.size() < 16) return AllAre(text, kValueChar);
  const char* const last = text.data() + text.size() - 16;
  Bytes16 controls = {};
  const auto look = [&](const char* at) {
    const Bytes16 bytes = Load16(at);
    controls |= MarkControls(bytes) & Bytes16(bytes != '\t');
  };
  for (const char* at = text.data(); at < last; at += 16) look(at);
  look(last);
  return BitsOf(controls) == 0;
}

}  // namespace outrigger::http1
