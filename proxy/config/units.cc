#include "proxy/config/units.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "fmt/format.h"
#include "proxy/config/diagnostics.h"

namespace outrigger::config {
namespace {

struct DurationUnit {
  std::string_view name;
  int64_t nanos;
};
// From large to small, as they are written.
constexpr DurationUnit kDurationUnits[] = {
    {"d", 86'400'000'000'000}, {"h", 3'600'000'000'000}, {"m", 60'000'000'000},
    {"s", 1'000'000'000},      {"ms", 1'000'000},        {"us", 1'000},
};

struct SizeUnit {
  std::string_view name;
  size_t bytes;
};
constexpr SizeUnit kSizeUnits[] = {
    {"GiB", size_t{1} << 30},
    {"MiB", size_t{1} << 20},
    {"KiB", size_t{1} << 10},
    {"GB", 1'000'000'000},
    {"MB", 1'000'000},
    {"kB", 1'000},
    {"B", 1},
};

absl::Status Unreadable(std::string_view expected, std::string_view text) {
  return absl::InvalidArgumentError(fmt::format("expected {}, got {}", expected, Quote(text)));
}

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The unsigned whole number that the whole text is.
std::optional<int64_t> WholeNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || !IsDigit(text.front()) || error != std::errc() ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::string_view TakeWhile(std::string_view& text, bool (*accepts)(char)) {
  size_t length = 0;
  while (length < text.size() && accepts(text[length])) ++length;
  const std::string_view taken = text.substr(0, length);
  text.remove_prefix(length);
  return taken;
}

// `number` units in nanoseconds without passing through floating point, so that 0.1s is exact.
std::optional<int64_t> ToNanos(std::string_view number, int64_t unit) {
  const size_t point = number.find('.');
  const std::optional<int64_t> whole = WholeNumber(number.substr(0, point));
  int64_t nanos = 0;
  if (!whole.has_value() || __builtin_mul_overflow(*whole, unit, &nanos)) return std::nullopt;
  if (point == number.npos) return nanos;
  const std::string_view digits = number.substr(point + 1);
  if (digits.empty()) return std::nullopt;
  for (const char digit : digits) {
    if (!IsDigit(digit)) return std::nullopt;
    unit /= 10;
    nanos += (digit - '0') * unit;
  }
  return nanos;
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  constexpr std::string_view kExpected = "a duration such as 250ms, 5s or 1h30m";
  if (text == "0") return absl::ZeroDuration();
  int64_t total = 0;
  std::string_view rest = text;
  const DurationUnit* next = std::begin(kDurationUnits);
  do {
    const std::string_view number = TakeWhile(rest, [](char c) { return IsDigit(c) || c == '.'; });
    const std::string_view unit = TakeWhile(rest, [](char c) { return c >= 'a' && c <= 'z'; });
    if (unit.empty() && rest.empty() && !number.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("{} has no unit; write {}s or {}ms", Quote(text), number, number));
    }
    while (next != std::end(kDurationUnits) && next->name != unit) ++next;
    if (next == std::end(kDurationUnits)) return Unreadable(kExpected, text);
    const std::optional<int64_t> nanos = ToNanos(number, next->nanos);
    if (!nanos.has_value() || __builtin_add_overflow(total, *nanos, &total)) {
      return Unreadable(kExpected, text);
    }
    ++next;
  } while (!rest.empty());
  return absl::Nanoseconds(total);
}

std::string DurationText(absl::Duration duration) {
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  if (nanos == 0) return "0s";
  // One unit that divides the value: 620s rather than 10m20s, 1h rather than 3600s.
  for (const DurationUnit& unit : kDurationUnits) {
    // 24h and 300s are more usual than 1d and 5m.
    const bool unusual = (unit.name == "d" && nanos < 2 * unit.nanos) || unit.name == "m";
    if (!unusual && nanos % unit.nanos == 0) {
      return fmt::format("{}{}", nanos / unit.nanos, unit.name);
    }
  }
  return fmt::format("{}.{:03}us", nanos / 1000, nanos % 1000);
}

absl::StatusOr<size_t> ParseSize(std::string_view text) {
  constexpr std::string_view kExpected = "a size such as 512, 64KiB or 2MiB";
  std::string_view unit = text;
  const std::optional<int64_t> number = WholeNumber(TakeWhile(unit, IsDigit));
  if (!number.has_value()) return Unreadable(kExpected, text);
  size_t scale = 1;
  if (!unit.empty()) {
    scale = 0;
    for (const SizeUnit& known : kSizeUnits) {
      if (known.name == unit) scale = known.bytes;
    }
    if (scale == 0) return Unreadable(kExpected, text);
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(*number), scale, &bytes)) {
    return Unreadable(kExpected, text);
  }
  return bytes;
}

std::string SizeText(size_t bytes) {
  for (const SizeUnit& unit : kSizeUnits) {
    const bool binary = unit.name.size() == 3;
    if (binary && bytes >= unit.bytes && bytes % unit.bytes == 0) {
      return fmt::format("{}{}", bytes / unit.bytes, unit.name);
    }
  }
  return fmt::format("{}B", bytes);
}

absl::StatusOr<RateSpec> ParseRate(std::string_view text) {
  constexpr std::string_view kExpected = "a rate such as 100/s, 6000/m or 5/10s";
  const size_t slash = text.find('/');
  if (slash == text.npos) return Unreadable(kExpected, text);
  const std::optional<int64_t> count = WholeNumber(text.substr(0, slash));
  std::string per(text.substr(slash + 1));
  if (!count.has_value() || per.empty()) return Unreadable(kExpected, text);
  if (!IsDigit(per.front())) per.insert(0, "1");
  const absl::StatusOr<absl::Duration> duration = ParseDuration(per);
  if (!duration.ok() || *duration <= absl::ZeroDuration()) return Unreadable(kExpected, text);
  return RateSpec{*count, *duration};
}

std::string RateText(const RateSpec& rate) {
  for (const DurationUnit& unit : kDurationUnits) {
    if (rate.per == absl::Nanoseconds(unit.nanos)) {
      return fmt::format("{}/{}", rate.count, unit.name);
    }
  }
  return fmt::format("{}/{}", rate.count, DurationText(rate.per));
}

absl::StatusOr<double> ParseRatio(std::string_view text) {
  constexpr std::string_view kExpected = "a ratio from 0 to 1, such as 20% or 0.2";
  std::string_view number = text;
  const bool percent = number.ends_with('%');
  if (percent) number.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value,
                                            std::chars_format::fixed);
  if (number.empty() || error != std::errc() || end != number.data() + number.size()) {
    return Unreadable(kExpected, text);
  }
  if (percent) value /= 100;
  if (!std::isfinite(value) || std::signbit(value) || value > 1) {
    return Unreadable(kExpected, text);
  }
  return value;
}

std::string RatioText(double ratio) {
  std::string percent = fmt::format("{:.10g}%", ratio * 100);
  const absl::StatusOr<double> back = ParseRatio(percent);
  return back.ok() && *back == ratio ? percent : fmt::format("{:.17f}", ratio);
}

absl::StatusOr<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
      std::signbit(value)) {
    return Unreadable("a number, such as 3 or 2.5", text);
  }
  return value;
}

absl::StatusOr<int64_t> ParseCount(std::string_view text) {
  constexpr std::string_view kExpected = "a whole number";
  const bool negative = text.starts_with('-');
  const std::optional<int64_t> value = WholeNumber(negative ? text.substr(1) : text);
  if (!value.has_value()) return Unreadable(kExpected, text);
  return negative ? -*value : *value;
}

}  // namespace outrigger::config
