#include "proxy/http/reason.h"

#include <iterator>

namespace outrigger::http {
namespace {

constexpr std::string_view kNames[] = {
    "",
    "bad_request",
    "schema",
    "idem_key_missing",
    "idem_key_invalid",
    "auth_missing",
    "auth_invalid",
    "forbidden",
    "request_timeout",
    "no_route",
    "uri_too_long",
    "not_implemented",
    "http_version",
    "loop_detected",
    "idem_unknown",
    "idem_in_flight",
    "idem_response_not_kept",
    "body_too_large",
    "headers_too_large",
    "idem_mismatch",
    "rate_requests",
    "rate_tokens",
    "rate_replays",
    "throttled",
    "cost_exceeds_limit",
    "upstream_protocol",
    "upstream_reset",
    "connect_fail",
    "no_healthy_upstream",
    "breaker_open",
    "concurrency",
    "queue_full",
    "queue_timeout",
    "overload_memory",
    "idem_store_full",
    "idem_store_unavailable",
    "draining",
    "ttft_timeout",
    "per_try_timeout",
    "deadline",
    "max_stream",
    "inter_token_timeout",
};
static_assert(std::size(kNames) == static_cast<size_t>(Reason::kCount));

}  // namespace

std::string_view ReasonName(Reason reason) { return kNames[static_cast<size_t>(reason)]; }

}  // namespace outrigger::http
