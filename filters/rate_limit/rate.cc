#include "filters/rate_limit/rate.h"

#include <array>
#include <charconv>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace outrigger::rate_limit {
namespace {

__extension__ using Wide = unsigned __int128;

// Longest first, so that formatting picks the largest unit that divides the period.
constexpr std::array<std::pair<std::string_view, int64_t>, 5> kUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

// False unless all of `text` is a decimal number above zero.
bool ParsePositive(std::string_view text, int64_t* value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stop == end && *value > 0;
}

absl::Status Invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not a rate such as 100/s or 100000/m: {}", text, why));
}

}  // namespace

absl::StatusOr<Rate> Rate::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return Invalid(text, "it has no \"/\"");
  int64_t count = 0;
  if (!ParsePositive(text.substr(0, slash), &count)) {
    return Invalid(text, "the count must be a whole number above 0");
  }
  const std::string_view period = text.substr(slash + 1);
  size_t unit_begin = period.find_first_not_of("0123456789");
  if (unit_begin == std::string_view::npos) unit_begin = period.size();
  int64_t multiple = 1;
  if (unit_begin > 0 && !ParsePositive(period.substr(0, unit_begin), &multiple)) {
    return Invalid(text, "the period must be above 0");
  }
  for (const auto& [name, millis] : kUnits) {
    if (period.substr(unit_begin) != name) continue;
    int64_t total = 0;
    if (__builtin_mul_overflow(multiple, millis, &total) ||
        total > absl::ToInt64Milliseconds(MaxPeriod())) {
      return Invalid(text, "the period is longer than 31 days");
    }
    if (count > kMaxCount) return Invalid(text, fmt::format("the count is above {}", kMaxCount));
    return Make(count, absl::Milliseconds(total));
  }
  return Invalid(text, "the period must be ms, s, m, h or d, with or without a number before it");
}

absl::StatusOr<Rate> Rate::Make(int64_t count, absl::Duration period) {
  if (count < 1 || count > kMaxCount) {
    return absl::InvalidArgumentError(
        fmt::format("a rate's count must be from 1 to {}, not {}", kMaxCount, count));
  }
  const int64_t millis = absl::ToInt64Milliseconds(period);
  if (period > MaxPeriod() || millis < 1 || absl::Milliseconds(millis) != period) {
    return absl::InvalidArgumentError(
        fmt::format("a rate's period must be whole milliseconds up to 31 days, not {}",
                    absl::FormatDuration(period)));
  }
  // count tokens / millis ms = count·10^9 / (millis·10^6) nano-tokens per nanosecond.
  const int64_t divisor = std::gcd(count * 1000, millis);
  Rate rate;
  rate.count_ = count;
  rate.period_millis_ = millis;
  rate.numerator_ = count * 1000 / divisor;
  rate.denominator_ = static_cast<uint32_t>(millis / divisor);
  return rate;
}

int64_t Rate::Accrue(int64_t nanos, int64_t limit, uint32_t* remainder) const {
  const Wide product = static_cast<Wide>(nanos) * static_cast<uint64_t>(numerator_) + *remainder;
  if (product >= static_cast<Wide>(limit) * denominator_) {
    *remainder = 0;
    return limit;
  }
  if (denominator_ == 1) return static_cast<int64_t>(product);
  // Most products fit 64 bits, whose division is several times faster.
  if (product <= std::numeric_limits<uint64_t>::max()) {
    const auto small = static_cast<uint64_t>(product);
    *remainder = static_cast<uint32_t>(small % denominator_);
    return static_cast<int64_t>(small / denominator_);
  }
  *remainder = static_cast<uint32_t>(product % denominator_);
  return static_cast<int64_t>(product / denominator_);
}

int64_t Rate::NanosToBring(int64_t nano_tokens, uint32_t remainder) const {
  if (nano_tokens <= 0) return 0;
  const auto rate = static_cast<uint64_t>(numerator_);
  const Wide missing = static_cast<Wide>(nano_tokens) * denominator_ - remainder;
  if (missing <= std::numeric_limits<int64_t>::max()) {
    const auto small = static_cast<uint64_t>(missing);
    return static_cast<int64_t>((small + rate - 1) / rate);
  }
  const Wide nanos = (missing + rate - 1) / rate;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  return nanos > static_cast<Wide>(kMax) ? kMax : static_cast<int64_t>(nanos);
}

std::string Rate::ToString() const {
  for (const auto& [name, millis] : kUnits) {
    if (period_millis_ % millis != 0) continue;
    const int64_t multiple = period_millis_ / millis;
    if (multiple == 1) return fmt::format("{}/{}", count_, name);
    return fmt::format("{}/{}{}", count_, multiple, name);
  }
  return {};  // not reached: every period is whole milliseconds
}

}  // namespace outrigger::rate_limit
