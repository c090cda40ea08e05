#include "filters/idempotency/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace outrigger::idempotency {
namespace {

using http::HeaderId;

bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return http::EqualsIgnoreCase(text.substr(0, prefix.size()), prefix);
}

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kStored:
      return "stored";
    case Outcome::kReplayed:
      return "replayed";
    case Outcome::kJoined:
      return "joined";
    case Outcome::kReleased:
      return "released";
    case Outcome::kBypassed:
      return "bypassed";
  }
  return {};
}

bool IsReplayable(std::string_view name) {
  switch (http::ClassifyHeader(name)) {
    case HeaderId::kConnection:
    case HeaderId::kDate:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kProxyConnection:
    case HeaderId::kRetryAfter:
    case HeaderId::kRetryAfterMs:
    case HeaderId::kXMsRetryAfterMs:
    case HeaderId::kSetCookie:
    case HeaderId::kTe:
    case HeaderId::kTraceparent:
    case HeaderId::kTracestate:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
    case HeaderId::kWwwAuthenticate:
    case HeaderId::kXRequestId:
    case HeaderId::kXOutrigger:
      return false;
    default:
      break;
  }
  constexpr std::array<std::string_view, 4> kPrefixes = {"proxy-", "ratelimit", "x-ratelimit-",
                                                         "x-envoy-"};
  return !http::EqualsIgnoreCase(name, "server-timing") &&
         std::none_of(kPrefixes.begin(), kPrefixes.end(),
                      [&](std::string_view prefix) { return StartsWithIgnoreCase(name, prefix); });
}

void AppendOutcome(Outcome outcome, absl::Duration expires_in, Arena& arena,
                   http::HeaderList& headers) {
  headers.Add("x-outrigger-idempotency", OutcomeName(outcome));
  if (expires_in == absl::InfiniteDuration()) return;
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(expires_in));
  const fmt::format_int text(seconds);
  headers.Add("x-outrigger-idempotency-expires", arena.Copy({text.data(), text.size()}));
}

void AppendReplayedHeaders(const RecordedHead& head, const ReplayInfo& info, Arena& arena,
                           http::HeaderList& headers) {
  // RFC 9110, 7.6.1: fields that Connection names belong to the connection as well.
  const auto is_named_by_connection = [&](std::string_view name) {
    bool named = false;
    head.headers.ForEach([&](const http::HeaderField& other) {
      named = named || (other.id == http::HeaderId::kConnection &&
                        http::ListContainsToken(other.value, name));
    });
    return named;
  };
  head.headers.ForEach([&](const http::HeaderField& field) {
    if (IsReplayable(field.name) && !is_named_by_connection(field.name)) headers.Add(field);
  });
  headers.Add("Idempotent-Replayed", "true");
  if (!head.request_id.empty()) {
    headers.Add("x-outrigger-original-request-id", head.request_id);
  }
  AppendOutcome(info.outcome, info.expires_in, arena, headers);
}

}  // namespace outrigger::idempotency
