#include "filters/common/local_reply.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>

#include "proxy/grpc/call.h"
#include "proxy/grpc/message.h"

namespace outrigger::common {
namespace {

using http::Effects;
using http::HeaderField;
using http::HeaderId;
using http::Reason;
using enum ShouldRetry;

constexpr uint32_t kSecond = 1000;
constexpr uint32_t kMinute = 60 * kSecond;

// The problem types of draft-ietf-httpapi-ratelimit-headers for "your quota" and "no capacity now":
// clients and autoscalers have to tell them apart.
constexpr std::string_view kQuota = "quota-exceeded";
constexpr std::string_view kCapacity = "temporary-reduced-capacity";

// clang-format off
constexpr ReplyRule kRules[] = {
    {Reason::kNone, 0, 0, kFalse, "", ""},
    {Reason::kBadRequest, 400, 3, kFalse, "bad-request", "The request is malformed"},
    {Reason::kSchema, 400, 3, kFalse, "schema", "The request body does not have the required form"},
    {Reason::kIdemKeyMissing, 400, 3, kFalse, "idem-key-missing", "Idempotency-Key is missing"},
    {Reason::kIdemKeyInvalid, 400, 3, kFalse, "idem-key-invalid", "Idempotency-Key is not valid"},
    {Reason::kAuthMissing, 401, 16, kFalse, "auth-missing", "Credentials are missing"},
    {Reason::kAuthInvalid, 401, 16, kFalse, "auth-invalid", "Credentials are not valid"},
    {Reason::kForbidden, 403, 7, kFalse, "forbidden", "Not allowed for this caller"},
    {.reason = Reason::kRequestTimeout, .status = 408, .grpc_code = 4, .should_retry = kTrue,
     .problem = "request-timeout", .title = "The request took too long to arrive",
     .closes_connection = true},
    {Reason::kNoRoute, 404, 12, kFalse, "no-route", "No route for this request"},
    {Reason::kUriTooLong, 414, 3, kFalse, "uri-too-long", "The request target is too long"},
    {Reason::kNotImplemented, 501, 3, kFalse, "not-implemented", "Not implemented"},
    {Reason::kHttpVersion, 505, 3, kFalse, "http-version", "HTTP version not supported"},
    {Reason::kLoopDetected, 508, 3, kFalse, "loop-detected", "The request came through here already"},
    {Reason::kIdemUnknown, 502, 14, kFalse, "idem-unknown",
     "The outcome of the first request with this key is unknown"},
    {Reason::kIdemInFlight, 409, 10, kTrue, "idem-in-flight",
     "A request with this key is still running", kSecond, 0, 10 * kSecond},
    {Reason::kIdemResponseNotKept, 409, 9, kFalse, "idem-response-not-kept",
     "A request with this key was executed but its response was not kept"},
    {Reason::kBodyTooLarge, 413, 8, kFalse, "body-too-large", "The request body is too large"},
    {Reason::kHeadersTooLarge, 431, 8, kFalse, "headers-too-large", "The request head is too large"},
    {Reason::kIdemMismatch, 422, 3, kFalse, "idem-mismatch",
     "This key was used for a different request"},
    {Reason::kRateRequests, 429, 8, kIfWithinMinute, kQuota, "Too many requests", kSecond},
    {Reason::kRateTokens, 429, 8, kIfWithinMinute, kQuota, "Too many tokens", kSecond},
    {Reason::kRateReplays, 429, 8, kIfWithinMinute, kQuota, "Too many replays", kSecond},
    {Reason::kThrottled, 429, 8, kIfWithinMinute, kQuota, "The service asked to wait", kSecond},
    {Reason::kCostExceedsLimit, 400, 3, kFalse, "cost-exceeds-limit",
     "The request costs more than its limit ever allows"},
    {Reason::kUpstreamProtocol, 502, 14, kIfRepeatable, "upstream-protocol",
     "The service sent something that is not HTTP"},
    {Reason::kUpstreamReset, 502, 14, kIfRepeatable, "upstream-reset",
     "The service closed the connection"},
    {Reason::kConnectFail, 503, 14, kTrue, "connect-fail", "The service cannot be reached", kSecond},
    {Reason::kNoHealthyUpstream, 503, 14, kTrue, "no-healthy-upstream",
     "No healthy endpoint of the service", kSecond},
    {Reason::kBreakerOpen, 503, 14, kTrue, "breaker-open", "The circuit breaker is open", kSecond},
    {Reason::kConcurrency, 503, 14, kTrue, kCapacity, "Too many requests at the same time", kSecond,
     kSecond},
    {Reason::kQueueFull, 503, 14, kTrue, kCapacity, "The queue is full", kSecond, kSecond},
    {Reason::kQueueTimeout, 503, 14, kTrue, kCapacity, "The request waited too long in the queue",
     kSecond, kSecond},
    {Reason::kOverloadMemory, 503, 14, kTrue, kCapacity, "Out of buffer memory", kSecond, kSecond},
    {Reason::kIdemStoreFull, 503, 14, kTrue, kCapacity, "No room for another idempotency key", kSecond,
     kSecond},
    {Reason::kIdemStoreUnavailable, 503, 14, kTrue, kCapacity, "The idempotency store does not answer",
     kSecond, kSecond},
    {Reason::kDraining, 503, 14, kTrue, "draining", "Shutting down", kSecond, 0, 0, true},
    {Reason::kTtftTimeout, 504, 4, kIfRepeatable, "ttft-timeout",
     "The service did not begin to answer in time"},
    {Reason::kPerTryTimeout, 504, 4, kIfRepeatable, "per-try-timeout",
     "The service did not answer in time"},
    {Reason::kDeadline, 504, 4, kIfRepeatable, "deadline", "The deadline of the request has passed"},
    {Reason::kMaxStream, 504, 4, kIfRepeatable, "max-stream", "The stream lasted too long"},
    {Reason::kInterTokenTimeout, 504, 4, kIfRepeatable, "inter-token-timeout",
     "The stream stalled"},
};
// clang-format on

constexpr bool RulesAreComplete() {
  for (size_t i = 0; i < std::size(kRules); ++i) {
    if (kRules[i].reason != static_cast<Reason>(i)) return false;
    const bool must_have_retry = kRules[i].status == 429 || kRules[i].status == 503;
    if (must_have_retry && kRules[i].default_retry_ms == 0) return false;
  }
  return std::size(kRules) == static_cast<size_t>(Reason::kCount);
}
static_assert(RulesAreComplete());

// Longer waits mean "never" to every client, and must not overflow one that parses 32 bits.
constexpr int64_t kMaxRetryMs = int64_t{365} * 24 * 60 * kMinute;

std::string_view Number(int64_t value, Arena& arena) {
  char text[24];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  return arena.Copy({text, static_cast<size_t>(end - text)});
}

// Rounded up, so that a client that waits exactly this long comes at the right time, not before it.
int64_t RetryMillis(const ReplyRule& rule, absl::Duration asked) {
  int64_t millis = rule.default_retry_ms;
  if (asked > absl::ZeroDuration()) {
    const absl::Duration bounded = std::min(asked, absl::Milliseconds(kMaxRetryMs));
    millis = absl::ToInt64Milliseconds(absl::Ceil(bounded, absl::Milliseconds(1)));
  }
  millis = std::max<int64_t>(millis, rule.min_retry_ms);
  if (rule.max_retry_ms != 0) millis = std::min<int64_t>(millis, rule.max_retry_ms);
  return millis;
}

bool IsRetryAdvised(const ReplyRule& rule, const LocalReplyContext& context, int64_t retry_ms) {
  const bool is_unsafe = context.effects == Effects::kUnsafe;
  if (context.is_outcome_unknown) return false;
  if (context.are_retries_exhausted && is_unsafe) return false;
  switch (rule.should_retry) {
    case kFalse:
      return false;
    case kTrue:
      return true;
    case kIfRepeatable:
      return !is_unsafe;
    case kIfWithinMinute:
      return retry_ms <= kMinute;
  }
  return false;
}

// `text` as the inside of a JSON string.
std::string_view Escaped(std::string_view text, Arena& arena) {
  const auto is_plain = [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f &&
           c != '"' && c != '\\';
  };
  if (std::all_of(text.begin(), text.end(), is_plain)) return text;
  constexpr std::string_view kReplacement = "\\ufffd";
  constexpr char kHex[] = "0123456789abcdef";
  char* const begin = arena.Allocate(text.size() * kReplacement.size());
  char* out = begin;
  const auto append = [&out](std::string_view part) {
    out = std::copy(part.begin(), part.end(), out);
  };
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(c)) {
      *out++ = c;
    } else if (c == '"' || c == '\\') {
      *out++ = '\\';
      *out++ = c;
    } else if (byte < 0x80) {
      append("\\u00");
      *out++ = kHex[byte >> 4];
      *out++ = kHex[byte & 15];
    } else {
      append(kReplacement);
    }
  }
  return {begin, static_cast<size_t>(out - begin)};
}

std::string_view OpenAiType(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

std::string_view AnthropicType(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 404) return "not_found_error";
  if (status == 413) return "request_too_large";
  if (status == 429) return "rate_limit_error";
  if (status == 503) return "overloaded_error";
  if (status == 504) return "timeout_error";
  return status < 500 ? "invalid_request_error" : "api_error";
}

int StatusOf(const ReplyRule& rule, const LocalReplyContext& context) {
  return context.status != 0 ? context.status : rule.status;
}

std::string_view ContentType(ErrorFormat format) {
  switch (format) {
    case ErrorFormat::kProblem:
      return "application/problem+json";
    case ErrorFormat::kGrpc:
      return grpc::kMediaType;
    case ErrorFormat::kOpenAi:
    case ErrorFormat::kAnthropic:
      break;
  }
  return "application/json";
}

std::string_view BuildBody(const ReplyRule& rule, const LocalReplyContext& context, Arena& arena) {
  const std::string_view reason = http::ReasonName(rule.reason);
  const std::string_view detail =
      Escaped(context.detail.empty() ? rule.title : context.detail, arena);
  const std::string_view id = Escaped(context.request_id, arena);
  const int status = StatusOf(rule, context);
  switch (context.format) {
    case ErrorFormat::kOpenAi:
      return arena.Concat(R"({"error":{"message":")", detail, R"(","type":")", OpenAiType(status),
                          R"(","param":null,"code":")", reason, R"("}})");
    case ErrorFormat::kAnthropic:
      return arena.Concat(R"({"type":"error","error":{"type":")", AnthropicType(status),
                          R"(","message":")", detail, R"("},"request_id":")", id, R"("})");
    case ErrorFormat::kGrpc:
      return {};
    case ErrorFormat::kProblem:
      break;
  }
  return arena.Concat(R"({"type":")", kProblemTypePrefix, rule.problem, R"(","title":")",
                      rule.title, R"(","status":)", Number(status, arena), R"(,"detail":")", detail,
                      R"(","instance":")", id, R"("})");
}

}  // namespace

const ReplyRule& RuleOf(Reason reason) {
  // A local reply without a reason is a bug of ours; none can be made up for it.
  if (reason == Reason::kNone || reason >= Reason::kCount) std::abort();
  return kRules[static_cast<size_t>(reason)];
}

LocalReply BuildLocalReply(Reason reason, const LocalReplyContext& context, Arena& arena) {
  const ReplyRule& rule = RuleOf(reason);
  const bool is_grpc = context.format == ErrorFormat::kGrpc;
  LocalReply reply;
  reply.status = is_grpc ? 200 : StatusOf(rule, context);
  reply.grpc_code = rule.grpc_code;
  reply.closes_connection = rule.closes_connection;

  const auto add = [&reply](std::string_view name, std::string_view value, HeaderId id) {
    reply.fields[reply.field_count++] = HeaderField{name, value, id};
  };
  const int64_t retry_ms = RetryMillis(rule, context.retry_after);
  const bool is_retry_advised = IsRetryAdvised(rule, context, retry_ms);
  add("content-type", ContentType(context.format), HeaderId::kContentType);
  if (is_grpc) {
    add("grpc-status", Number(rule.grpc_code, arena), HeaderId::kGrpcStatus);
    add("grpc-message",
        grpc::EncodeMessage(context.detail.empty() ? rule.title : context.detail, arena),
        HeaderId::kGrpcMessage);
  }
  add("x-outrigger-reason", http::ReasonName(reason), HeaderId::kXOutrigger);
  add("x-should-retry", is_retry_advised ? "true" : "false", HeaderId::kXShouldRetry);
  if (rule.default_retry_ms != 0) {
    const int64_t seconds = std::max<int64_t>(1, (retry_ms + kSecond - 1) / kSecond);
    add("retry-after", Number(seconds, arena), HeaderId::kRetryAfter);
    add("retry-after-ms", Number(retry_ms, arena), HeaderId::kRetryAfterMs);
  }
  // Negative: not at all (gRPC A6).
  if (is_grpc && (!is_retry_advised || rule.default_retry_ms != 0)) {
    add("grpc-retry-pushback-ms", is_retry_advised ? Number(retry_ms, arena) : "-1",
        HeaderId::kGrpcRetryPushbackMs);
  }
  if (rule.status == 401) {
    add("www-authenticate", context.www_authenticate, HeaderId::kWwwAuthenticate);
  }
  if (reason == Reason::kIdemKeyMissing && !context.described_by.empty()) {
    add("link", arena.Concat("<", context.described_by, R"(>; rel="describedby")"),
        HeaderId::kLink);
  }
  if (context.is_outcome_unknown || reason == Reason::kIdemUnknown) {
    add("x-outrigger-outcome", "unknown", HeaderId::kXOutrigger);
  }
  if (context.are_retries_exhausted) {
    add("x-outrigger-retries-exhausted", "1", HeaderId::kXOutrigger);
  }
  reply.body = BuildBody(rule, context, arena);
  return reply;
}

std::string_view BuildStreamError(Reason reason, const LocalReplyContext& context, Arena& arena) {
  const std::string_view body = BuildBody(RuleOf(reason), context, arena);
  return arena.Concat("event: error\ndata: ", body, "\n\n");
}

void BuildGrpcTrailers(Reason reason, std::string_view detail, Arena& arena,
                       http::HeaderList& trailers) {
  const ReplyRule& rule = RuleOf(reason);
  const std::string_view message = detail.empty() ? rule.title : detail;
  trailers.Add({"grpc-status", Number(rule.grpc_code, arena), HeaderId::kGrpcStatus});
  trailers.Add({"grpc-message", grpc::EncodeMessage(message, arena), HeaderId::kGrpcMessage});
  trailers.Add({"x-outrigger-reason", http::ReasonName(reason), HeaderId::kXOutrigger});
}

}  // namespace outrigger::common
