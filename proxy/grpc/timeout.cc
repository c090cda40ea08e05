#include "proxy/grpc/timeout.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>

namespace outrigger::grpc {
namespace {

constexpr size_t kMaxDigits = 8;
constexpr int64_t kMaxValue = 99'999'999;

struct Unit {
  char letter;
  absl::Duration length;
};

// The finest first.
const Unit kUnits[] = {{'n', absl::Nanoseconds(1)},  {'u', absl::Microseconds(1)},
                       {'m', absl::Milliseconds(1)}, {'S', absl::Seconds(1)},
                       {'M', absl::Minutes(1)},      {'H', absl::Hours(1)}};

std::string_view Join(int64_t value, char letter, Arena& arena) {
  char text[24];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  *end = letter;
  return arena.Copy({text, static_cast<size_t>(end + 1 - text)});
}

}  // namespace

std::optional<absl::Duration> ParseTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kMaxDigits + 1) return std::nullopt;
  const char letter = text.back();
  text.remove_suffix(1);
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  for (const Unit& unit : kUnits) {
    if (unit.letter == letter) return value * unit.length;
  }
  return std::nullopt;
}

std::string_view FormatTimeout(absl::Duration remaining, Arena& arena) {
  for (const Unit& unit : kUnits) {
    absl::Duration rest;
    const int64_t value = absl::IDivDuration(remaining, unit.length, &rest);
    if (value <= kMaxValue) return Join(std::max<int64_t>(1, value), unit.letter, arena);
  }
  return Join(kMaxValue, 'H', arena);
}

}  // namespace outrigger::grpc
