#include "filters/timeout/deadline_headers.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>

#include "proxy/grpc/timeout.h"

namespace outrigger::timeout {
namespace {

using http::HeaderField;
using http::HeaderId;
using MaybeDuration = std::optional<absl::Duration>;

// 300 years of milliseconds; more digits are no timeout, and fewer cannot overflow.
constexpr size_t kMaxDigits = 13;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<int64_t> ParseDigits(std::string_view text, size_t max_digits) {
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  if (!std::all_of(text.begin(), text.end(), IsDigit)) return std::nullopt;
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

MaybeDuration ParseMillis(std::string_view text) {
  const auto value = ParseDigits(text, kMaxDigits);
  if (!value) return std::nullopt;
  return absl::Milliseconds(*value);
}

// "600" or "0.5".
MaybeDuration ParseSeconds(std::string_view text) {
  const size_t dot = std::min(text.find('.'), text.size());
  const auto whole = ParseDigits(text.substr(0, dot), kMaxDigits - 3);
  if (!whole) return std::nullopt;
  if (dot == text.size()) return absl::Seconds(*whole);
  const std::string_view digits = text.substr(dot + 1);
  const auto fraction = ParseDigits(digits, 9);
  if (!fraction) return std::nullopt;
  int64_t nanos = *fraction;
  for (size_t i = digits.size(); i < 9; ++i) nanos *= 10;
  return absl::Seconds(*whole) + absl::Nanoseconds(nanos);
}

std::string_view Append(int64_t value, std::string_view unit, Arena& arena) {
  char text[24];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  return arena.Concat(std::string_view(text, static_cast<size_t>(end - text)), unit);
}

}  // namespace

CallerTimeout ReadCallerTimeout(const http::HeaderList& headers, const DeadlineTrust& trust) {
  constexpr http::HeaderIdSet kFields(HeaderId::kGrpcTimeout, HeaderId::kXRequestTimeoutMs,
                                      HeaderId::kXEnvoyExpectedRqTimeoutMs,
                                      HeaderId::kXStainlessReadTimeout);
  CallerTimeout shortest;
  if (!headers.ids().Intersects(kFields)) return shortest;
  const auto consider = [&shortest](MaybeDuration timeout, TimeoutSource source) {
    if (timeout && *timeout < shortest.timeout) shortest = {*timeout, source};
  };
  for (const HeaderField& field : headers) {
    const std::string_view value = http::TrimOws(field.value);
    switch (field.id) {
      case HeaderId::kGrpcTimeout:
        consider(grpc::ParseTimeout(value), TimeoutSource::kGrpc);
        break;
      case HeaderId::kXRequestTimeoutMs:
        consider(ParseMillis(value), TimeoutSource::kRequestTimeout);
        break;
      case HeaderId::kXEnvoyExpectedRqTimeoutMs: {
        const MaybeDuration timeout = ParseMillis(value);
        if (timeout != absl::ZeroDuration()) consider(timeout, TimeoutSource::kEnvoy);
        break;
      }
      case HeaderId::kXStainlessReadTimeout:
        if (trust.trusts_read_timeout) consider(ParseSeconds(value), TimeoutSource::kStainless);
        break;
      default:
        break;
    }
  }
  return shortest;
}

std::string_view TimeoutSourceName(TimeoutSource source) {
  switch (source) {
    case TimeoutSource::kNone:
      return "";
    case TimeoutSource::kGrpc:
      return "grpc-timeout";
    case TimeoutSource::kRequestTimeout:
      return "x-request-timeout-ms";
    case TimeoutSource::kEnvoy:
      return "x-envoy-expected-rq-timeout-ms";
    case TimeoutSource::kStainless:
      return "x-stainless-read-timeout";
  }
  return "";
}

std::string_view FormatMillis(absl::Duration remaining, Arena& arena) {
  return Append(std::max<int64_t>(1, absl::ToInt64Milliseconds(remaining)), "", arena);
}

}  // namespace outrigger::timeout
