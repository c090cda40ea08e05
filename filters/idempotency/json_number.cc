#include "filters/idempotency/json_number.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace outrigger::idempotency {
namespace {

// 0.DIGITS times ten to the `exponent`, where the digits neither begin nor end with a zero; zero
// has none.
struct Decimal {
  bool is_negative = false;
  std::string digits;
  int64_t exponent = 0;

  bool IsWhole() const { return static_cast<int64_t>(digits.size()) <= exponent; }
  friend bool operator==(const Decimal&, const Decimal&) = default;
};

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// An exponent as written; beyond any that a text of some MiB could make up for, it stays there.
int64_t ReadExponent(std::string_view text) {
  constexpr int64_t kHuge = int64_t{1} << 40;
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  for (char c : text) value = std::min(value * 10 + (c - '0'), kHuge);
  return is_negative ? -value : value;
}

// REQUIRES: `text` is a JSON number.
Decimal ReadDecimal(std::string_view text) {
  Decimal decimal;
  decimal.is_negative = text.starts_with('-');
  if (decimal.is_negative) text.remove_prefix(1);
  bool is_behind_point = false;
  size_t at = 0;
  for (; at < text.size() && (IsDigit(text[at]) || text[at] == '.'); ++at) {
    if (text[at] == '.') {
      is_behind_point = true;
      continue;
    }
    const bool is_leading_zero = decimal.digits.empty() && text[at] == '0';
    if (!is_leading_zero) decimal.digits.push_back(text[at]);
    if (is_behind_point == is_leading_zero) decimal.exponent += is_behind_point ? -1 : 1;
  }
  if (decimal.digits.empty()) return {};  // zero, of either sign
  if (at < text.size()) decimal.exponent += ReadExponent(text.substr(at + 1));
  decimal.digits.resize(decimal.digits.find_last_not_of('0') + 1);
  return decimal;
}

// The fewest digits that are read as `value` again; of several such the nearest.
Decimal ShortestDecimal(double value) {
  std::array<char, 32> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific);
  return ReadDecimal({text.data(), static_cast<size_t>(end.ptr - text.data())});
}

}  // namespace

void AppendJsonNumber(double value, std::string& out) {
  const Decimal decimal = ShortestDecimal(value);
  const std::string& digits = decimal.digits;
  if (digits.empty()) {
    out += '0';
    return;
  }
  if (decimal.is_negative) out += '-';
  const int64_t point = decimal.exponent;
  const auto count = static_cast<int64_t>(digits.size());
  // ECMA-262, Number::toString, in its order: k is `count`, n is `point`.
  if (count <= point && point <= 21) {
    out += digits;
    out.append(static_cast<size_t>(point - count), '0');
  } else if (0 < point && point <= 21) {
    out.append(digits, 0, static_cast<size_t>(point));
    out += '.';
    out.append(digits, static_cast<size_t>(point));
  } else if (-6 < point && point <= 0) {
    out += "0.";
    out.append(static_cast<size_t>(-point), '0');
    out += digits;
  } else {
    out += digits.front();
    if (count > 1) {
      out += '.';
      out.append(digits, 1);
    }
    out += point > 0 ? "e+" : "e-";
    out += std::to_string(std::abs(point - 1));
  }
}

bool KeepsItsValue(std::string_view text, double value) {
  // More digits than these tell no two doubles apart.
  constexpr size_t kDoubleDigits = 17;
  const Decimal decimal = ReadDecimal(text);
  if (decimal == ShortestDecimal(value)) return true;
  const bool is_fraction = !decimal.IsWhole() && std::trunc(value) != value;
  return is_fraction && decimal.digits.size() <= kDoubleDigits && std::isnormal(value);
}

}  // namespace outrigger::idempotency
