#include "proxy/chain/access_log.h"

namespace outrigger::chain {

std::string_view StreamOutcomeName(http::StreamOutcome outcome) {
  switch (outcome) {
    case http::StreamOutcome::kComplete:
      return "complete";
    case http::StreamOutcome::kErrorEvent:
      return "error_event";
    case http::StreamOutcome::kCut:
      return "cut";
    case http::StreamOutcome::kStall:
      return "stall";
    case http::StreamOutcome::kClientGone:
      break;
  }
  return "client_gone";
}

namespace {

void WriteFailedAttempts(const http::RequestRecord& record, log::Line& line) {
  line.BeginArray("failed_attempts");
  for (const http::FailedAttempt& attempt : record.failed_attempts) {
    line.BeginObject().Str("cause", attempt.cause);
    if (attempt.status != 0) line.Int("status", attempt.status);
    line.Millis("took_ms", absl::ToInt64Nanoseconds(attempt.took))
        .Millis("backoff_ms", absl::ToInt64Nanoseconds(attempt.backoff))
        .End();
  }
  line.End();
}

}  // namespace

void WriteAccessLog(log::Logger& log, const AccessLogEntry& entry) {
  const http::Request& request = entry.request;
  const http::RequestRecord& record = request.record;
  log::LogEvent event = log.Info("request");
  if (!event.is_enabled()) return;
  event.Str("request_id", request.id)
      .Str("trace_id", request.trace_id)
      .Str("peer", request.peer_address)
      .Str("protocol", ProtocolName(request.protocol))
      .Str("method", request.method_name)
      // Without the query, which may hold what must not be logged.
      .Str("path", request.path)
      .Str("route", entry.route)
      .Str("tenant", request.tenant)
      .Int("status", entry.status);
  if (entry.grpc_status.has_value()) event.Int("grpc_status", *entry.grpc_status);
  if (request.client_address != request.peer_address && !request.client_address.empty()) {
    event.Str("client", request.client_address);
  }
  if (entry.reason != http::Reason::kNone) event.Str("reason", ReasonName(entry.reason));
  if (entry.is_stream || entry.outcome != http::StreamOutcome::kComplete) {
    event.Str("outcome", StreamOutcomeName(entry.outcome));
  }
  if (!request.upgrade.empty()) event.Str("upgrade", request.upgrade);
  if (!record.tunnel_end.empty()) event.Str("tunnel", record.tunnel_end);
  if (!record.idempotency.empty()) event.Str("idempotency", record.idempotency);
  if (!record.limiter_rule.empty()) event.Str("limiter_rule", record.limiter_rule);
  event.Int("attempts", record.attempts)
      .Uint("request_bytes", record.request_bytes)
      .Uint("response_bytes", record.response_bytes);
  if (!record.failed_attempts.empty()) WriteFailedAttempts(record, event.line());
  if (record.retries_exhausted) event.Bool("retries_exhausted", true);
  if (record.upstream_status != 0) event.Int("upstream_status", record.upstream_status);
  if (record.backoff > absl::ZeroDuration()) event.Millis("backoff_ms", record.backoff);
  if (record.upstream_connected != MonoTime()) {
    event.Millis("connect_ms", record.upstream_connected - record.upstream_started);
  }
  if (record.upstream_head != MonoTime()) {
    event.Millis("upstream_head_ms", record.upstream_head - record.upstream_started);
  }
  if (record.first_content != MonoTime()) {
    event.Millis("ttft_ms", record.first_content - request.received);
  }
  event.Millis("total_ms", entry.ended - request.received);
}

}  // namespace outrigger::chain
