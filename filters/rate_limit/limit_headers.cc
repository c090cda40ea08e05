#include "filters/rate_limit/limit_headers.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>

#include "fmt/format.h"

namespace outrigger::rate_limit {

using http::HeaderField;
using http::HeaderId;

namespace {

constexpr std::string_view kPolicy = "RateLimit-Policy";
constexpr std::string_view kLimit = "RateLimit";
constexpr std::string_view kOpenAiLimit = "x-ratelimit-limit-requests";
constexpr std::string_view kOpenAiRemaining = "x-ratelimit-remaining-requests";
constexpr std::string_view kOpenAiReset = "x-ratelimit-reset-requests";
constexpr size_t kMaxDigits = std::numeric_limits<int64_t>::digits10 + 2;

// Room for a number of any size is there wherever this is called.
char* WriteNumber(int64_t number, char* out) {
  return std::to_chars(out, out + kMaxDigits, number).ptr;
}

int64_t CeilTo(absl::Duration duration, int64_t unit_nanos) {
  const int64_t nanos = std::max<int64_t>(absl::ToInt64Nanoseconds(duration), 0);
  return nanos / unit_nanos + (nanos % unit_nanos > 0 ? 1 : 0);
}

bool IsOwn(std::string_view name) {
  return name.data() == kPolicy.data() || name.data() == kLimit.data() ||
         name.data() == kOpenAiLimit.data() || name.data() == kOpenAiRemaining.data() ||
         name.data() == kOpenAiReset.data();
}

}  // namespace

std::string PolicyText(const Rule& rule) {
  const int64_t period_millis = absl::ToInt64Milliseconds(rule.rate.period());
  const int64_t burst = rule.effective_burst();
  int64_t quota = burst;
  int64_t seconds = 0;
  if (burst >= rule.rate.count() || rule.algorithm == Algorithm::kSlidingWindow) {
    const auto millis = static_cast<__int128>(burst) * period_millis;
    const __int128 divisor = static_cast<__int128>(rule.rate.count()) * 1000;
    seconds = static_cast<int64_t>((millis + divisor / 2) / divisor);
  }
  // A window below a second would be told as a second and a rate far below the real one.
  if (seconds <= 1) {
    const int64_t periods = 1000 / std::gcd(period_millis, int64_t{1000});
    if (burst <= rule.rate.count() * periods) {
      quota = rule.rate.count() * periods;
      seconds = period_millis * periods / 1000;
    }
  }
  return fmt::format("\"{}\";q={};w={}", rule.name, quota, seconds);
}

char* WriteGoDuration(absl::Duration duration, char* out) {
  int64_t millis = CeilTo(duration, 1'000'000);
  if (millis > 0 && millis < 1000) {
    out = WriteNumber(millis, out);
    *out++ = 'm';
    *out++ = 's';
    return out;
  }
  const int64_t minutes = millis / 60'000;
  if (minutes >= 60) {
    out = WriteNumber(minutes / 60, out);
    *out++ = 'h';
  }
  if (minutes > 0) {
    out = WriteNumber(minutes % 60, out);
    *out++ = 'm';
  }
  millis %= 60'000;
  out = WriteNumber(millis / 1000, out);
  if (int64_t fraction = millis % 1000; fraction > 0) {
    *out++ = '.';
    for (int64_t digit = 100; fraction > 0; digit /= 10) {
      *out++ = static_cast<char>('0' + fraction / digit);
      fraction %= digit;
    }
  }
  *out++ = 's';
  return out;
}

LimitHeaders::LimitHeaders(Kinds kinds, const std::vector<const Rule*>& rules) : kinds_(kinds) {
  for (const Rule* rule : rules) {
    if (!policies_.empty()) policies_ += ", ";
    policies_ += PolicyText(*rule);
    texts_.push_back(
        {fmt::format("\"{}\";r=", rule->name), fmt::format("{}", rule->effective_burst())});
  }
}

void LimitHeaders::Add(const Standing& standing, http::Request& request) const {
  http::HeaderList& headers = request.response_headers;
  if (request.attempt > 1) {
    headers.RemoveIf([](const HeaderField& field) { return IsOwn(field.name); });
  }
  const Texts& texts = texts_[standing.rule];
  const int64_t remaining = std::max<int64_t>(standing.remaining, 0);
  if (kinds_.ietf) {
    char numbers[2 * kMaxDigits + 3];
    char* end = WriteNumber(remaining, numbers);
    *end++ = ';';
    *end++ = 't';
    *end++ = '=';
    end = WriteNumber(CeilTo(standing.until, 1'000'000'000), end);
    const std::string_view tail(numbers, static_cast<size_t>(end - numbers));
    headers.Add({kPolicy, policies_, HeaderId::kOther});
    headers.Add({kLimit, request.arena->Concat(texts.ietf_prefix, tail), HeaderId::kOther});
  }
  if (kinds_.openai) {
    char numbers[kMaxDigits + kMaxGoDuration];
    char* middle = WriteNumber(remaining, numbers);
    char* end = WriteGoDuration(standing.until, middle);
    const auto digits = static_cast<size_t>(middle - numbers);
    const std::string_view both =
        request.arena->Copy({numbers, static_cast<size_t>(end - numbers)});
    headers.Add({kOpenAiLimit, texts.openai_limit, HeaderId::kOther});
    headers.Add({kOpenAiRemaining, both.substr(0, digits), HeaderId::kOther});
    headers.Add({kOpenAiReset, both.substr(digits), HeaderId::kOther});
  }
}

void LimitHeaders::RemoveFrom(http::HeaderList& headers) const {
  if (!replaces_service_fields()) return;
  headers.Remove(kOpenAiLimit);
  headers.Remove(kOpenAiRemaining);
  headers.Remove(kOpenAiReset);
}

}  // namespace outrigger::rate_limit
