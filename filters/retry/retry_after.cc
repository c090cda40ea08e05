#include "filters/retry/retry_after.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "absl/time/civil_time.h"
#include "filters/retry/http_date.h"

namespace outrigger::retry {
namespace {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;
using MaybeDuration = std::optional<absl::Duration>;

// Beyond these a wait counts as infinite: a century, far inside what a Duration can hold.
constexpr size_t kMaxIntegerDigits = 18;
constexpr double kMaxSeconds = 100.0 * 365 * 24 * 3600;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void KeepLongest(MaybeDuration candidate, MaybeDuration* longest) {
  if (candidate && (!*longest || *candidate > **longest)) *longest = candidate;
}

// A list that an intermediary made of repeated fields: "5, 7".
MaybeDuration ParseDecimalList(std::string_view text, absl::Duration unit) {
  MaybeDuration longest;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    const MaybeDuration one = ParseDecimal(http::TrimOws(text.substr(0, comma)), unit);
    if (!one) return std::nullopt;
    KeepLongest(one, &longest);
    if (comma == text.size()) return longest;
    text.remove_prefix(comma + 1);
  }
}

MaybeDuration ReadMillis(const HeaderList& headers, HeaderId id) {
  MaybeDuration longest;
  for (const HeaderField& field : headers) {
    if (field.id != id) continue;
    KeepLongest(ParseDecimalList(http::TrimOws(field.value), absl::Milliseconds(1)), &longest);
  }
  return longest;
}

MaybeDuration ReadRetryAfter(const HeaderList& headers, absl::Time now) {
  MaybeDuration longest;
  for (const HeaderField& field : headers) {
    if (field.id != HeaderId::kRetryAfter) continue;
    const std::string_view value = http::TrimOws(field.value);
    if (const MaybeDuration seconds = ParseDecimalList(value, absl::Seconds(1))) {
      KeepLongest(seconds, &longest);
    } else if (const auto date = ParseHttpDate(value, now)) {
      const auto sent = headers.Get(HeaderId::kDate);
      const auto peer_now = sent ? ParseHttpDate(http::TrimOws(*sent), now) : std::nullopt;
      KeepLongest(std::max(*date - peer_now.value_or(now), absl::ZeroDuration()), &longest);
    }
  }
  return longest;
}

// False: the service asks not to be tried again.
bool ReadPushback(const HeaderList& headers, MaybeDuration* wait) {
  const auto field = headers.Get(HeaderId::kGrpcRetryPushbackMs);
  if (!field) return true;
  const std::string_view text = http::TrimOws(*field);
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsDigit)) return false;
  *wait = ParseDecimal(text, absl::Milliseconds(1));
  return true;
}

// Go duration, seconds, or seconds or milliseconds since 1970.
MaybeDuration ParseReset(std::string_view text, absl::Time now) {
  // Read in the smaller unit first: as seconds, milliseconds since 1970 would be beyond all waits.
  const MaybeDuration as_millis = ParseDecimal(text, absl::Milliseconds(1));
  if (!as_millis) return ParseGoDuration(text);
  // Nobody asks for a wait of 30 years: such a number is a date.
  constexpr double kFirstEpochSeconds = 1e9;
  constexpr double kFirstEpochMillis = 1e12;
  const double value = absl::ToDoubleMilliseconds(*as_millis);
  if (value < kFirstEpochSeconds) return *as_millis * 1000;
  const absl::Duration since_1970 = value < kFirstEpochMillis ? *as_millis * 1000 : *as_millis;
  return std::max(absl::UnixEpoch() + since_1970 - now, absl::ZeroDuration());
}

MaybeDuration ReadRateLimitReset(const HeaderList& headers, absl::Time now) {
  struct Dimension {
    std::string_view remaining;
    std::string_view reset;
  };
  constexpr Dimension kDimensions[] = {
      {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
      {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"}};
  MaybeDuration longest;
  for (const Dimension& dimension : kDimensions) {
    const auto remaining = headers.Get(dimension.remaining);
    const auto reset = headers.Get(dimension.reset);
    if (!remaining || !reset) continue;
    const MaybeDuration left = ParseDecimal(http::TrimOws(*remaining), absl::Seconds(1));
    if (!left || *left != absl::ZeroDuration()) continue;
    KeepLongest(ParseReset(http::TrimOws(*reset), now), &longest);
  }
  return longest;
}

}  // namespace

RetryHint ReadRetryHint(int status, const HeaderList& headers, absl::Time now) {
  RetryHint hint;
  if (const auto should_retry = headers.Get(HeaderId::kXShouldRetry)) {
    hint.is_forbidden = http::EqualsIgnoreCase(http::TrimOws(*should_retry), "false");
  }
  MaybeDuration pushback;
  if (!ReadPushback(headers, &pushback)) hint.is_forbidden = true;

  hint.wait = ReadMillis(headers, HeaderId::kRetryAfterMs);
  if (!hint.wait) hint.wait = ReadMillis(headers, HeaderId::kXMsRetryAfterMs);
  if (!hint.wait) hint.wait = ReadRetryAfter(headers, now);
  if (!hint.wait) hint.wait = pushback;
  if (!hint.wait && status == 429) hint.wait = ReadRateLimitReset(headers, now);
  return hint;
}

absl::Duration WithJitter(absl::Duration wait, Random& random) {
  return wait + wait * (0.1 * random.Uniform());
}

std::optional<absl::Duration> ParseDecimal(std::string_view text, absl::Duration unit) {
  const auto is_allowed = [](char c) { return IsDigit(c) || c == '.'; };
  if (!std::all_of(text.begin(), text.end(), is_allowed)) return std::nullopt;
  if (std::count(text.begin(), text.end(), '.') > 1) return std::nullopt;
  if (std::none_of(text.begin(), text.end(), IsDigit)) return std::nullopt;
  const size_t first = std::min(text.find_first_not_of('0'), text.size());
  const size_t integer_end = std::min(text.find('.'), text.size());
  if (integer_end > first && integer_end - first > kMaxIntegerDigits) {
    return absl::InfiniteDuration();
  }
  // Out of range can then only mean too small.
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (value * absl::ToDoubleSeconds(unit) > kMaxSeconds) return absl::InfiniteDuration();
  return value * unit;
}

std::optional<absl::Duration> ParseGoDuration(std::string_view text) {
  struct Unit {
    std::string_view name;
    absl::Duration length;
  };
  // Longer names first: "m" is a prefix of "ms".
  static const Unit kUnits[] = {{"ns", absl::Nanoseconds(1)},
                                {"us", absl::Microseconds(1)},
                                {"\xC2\xB5s", absl::Microseconds(1)},
                                {"ms", absl::Milliseconds(1)},
                                {"h", absl::Hours(1)},
                                {"m", absl::Minutes(1)},
                                {"s", absl::Seconds(1)}};
  if (text.empty()) return std::nullopt;
  absl::Duration sum = absl::ZeroDuration();
  while (!text.empty()) {
    size_t digits = 0;
    while (digits < text.size() && (IsDigit(text[digits]) || text[digits] == '.')) ++digits;
    const std::string_view number = text.substr(0, digits);
    text.remove_prefix(digits);
    const auto unit = std::find_if(std::begin(kUnits), std::end(kUnits), [text](const Unit& u) {
      return text.substr(0, u.name.size()) == u.name;
    });
    if (unit == std::end(kUnits)) return std::nullopt;
    const MaybeDuration part = ParseDecimal(number, unit->length);
    if (!part) return std::nullopt;
    sum += *part;
    text.remove_prefix(unit->name.size());
  }
  return sum;
}

}  // namespace outrigger::retry
