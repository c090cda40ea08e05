#include "proxy/chain/conclusion.h"

#include "proxy/chain/access_log.h"
#include "proxy/grpc/status.h"

namespace outrigger::chain {

using http::StreamOutcome;

namespace {

void CountRequest(metrics::WorkerMetrics& metrics, const Conclusion& end, int verdict) {
  metrics::RouteMetrics& route = *end.route->metrics;
  if (end.request.is_grpc) {
    metrics.Increment(route.grpc_calls.At(metrics::GrpcCodeOf(end.grpc_status)));
  }
  // In-band errors count against the request (OB-8).
  metrics::CodeClass code_class = metrics::CodeClassOf(verdict);
  if (end.outcome != StreamOutcome::kComplete && end.outcome != StreamOutcome::kClientGone) {
    code_class = metrics::CodeClass::k5xx;
  }
  metrics.Increment(route.requests.At(code_class, end.reason));
  metrics.ObserveNanos(route.duration, end.answered.nanos() - end.request.received.nanos());
  if (end.is_stream) {
    metrics.Increment(route.stream_outcome.At(static_cast<metrics::StreamOutcome>(end.outcome)));
  }
}

}  // namespace

void RecordConclusion(DriverContext& context, const Conclusion& end) {
  // What HTTP would say of a call; its own 200 says nothing.
  const int verdict =
      end.grpc_status.has_value() ? grpc::HttpStatusOf(*end.grpc_status) : end.status;
  if (end.route != nullptr) CountRequest(context.metrics, end, verdict);
  if (end.config.log.access == config::AccessLog::kNone) return;
  const bool is_error = verdict >= 500 || verdict == 0 || end.outcome != StreamOutcome::kComplete;
  if (!is_error && end.config.log.access != config::AccessLog::kAll) return;
  WriteAccessLog(context.log, {.request = end.request,
                               .route = end.route == nullptr ? std::string_view() : end.route->name,
                               .status = end.status,
                               .grpc_status = end.grpc_status,
                               .reason = end.reason,
                               .is_stream = end.is_stream,
                               .outcome = end.outcome,
                               .ended = end.ended});
}

}  // namespace outrigger::chain
