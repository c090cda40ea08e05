#include "proxy/metrics/standard_metrics.h"

#include "proxy/metrics/descriptors.h"

namespace outrigger::metrics {
namespace {

// Ties a list of names to its enumeration: one of each.
template <class Enum>
using Names = std::array<std::string_view, static_cast<size_t>(Enum::kCount)>;

constexpr Names<CodeClass> kCodeClasses = {"1xx", "2xx", "3xx", "4xx", "5xx", "none"};
constexpr Names<StreamOutcome> kStreamOutcomes = {"complete", "error_event", "cut", "stall",
                                                  "client_gone"};
constexpr Names<IdempotencyResult> kIdempotencyResults = {
    "stored",     "replayed",    "joined",      "released",       "bypassed",
    "tombstone",  "unknown",     "in_flight",   "mismatch",       "not_kept",
    "store_full", "key_missing", "key_invalid", "replay_limited", "illegal_transition"};
constexpr Names<LimiterDecision> kLimiterDecisionNames = {"allowed", "rejected"};
constexpr Names<FilterMode> kFilterModes = {"enforce", "shadow"};
constexpr Names<BreakerState> kBreakerStates = {"closed", "half_open", "open"};
constexpr Names<BreakerCause> kBreakerCauses = {
    "failure_ratio", "consecutive",      "slow_ratio", "open_time_over",
    "probe_failed",  "probes_succeeded", "manual"};
constexpr Names<RetryCause> kRetryCauses = {"connect_fail",
                                            "refused_stream",
                                            "reused_connection",
                                            "reset",
                                            "protocol",
                                            "timeout",
                                            "401",
                                            "408",
                                            "425",
                                            "429",
                                            "500",
                                            "502",
                                            "503",
                                            "504",
                                            "529",
                                            "error_event",
                                            "breaker_open",
                                            "other"};
constexpr Names<BreakerRefusal> kBreakerRefusals = {"breaker_open", "throttled"};
constexpr Names<ProbeResult> kProbeResults = {"succeeded", "failed"};
constexpr Names<RetryResult> kRetryResults = {"retried",       "attempts_used", "budget_empty",
                                              "deadline",      "wait_too_long", "forbidden",
                                              "not_replayable"};
constexpr Names<TimeoutTier> kTimeoutTiers = {
    "connect", "request_header", "request_body_idle", "write_idle", "downstream_idle", "overall",
    "per_try", "ttft",           "inter_token",       "max_stream", "tunnel_idle"};
constexpr Names<TunnelEnd> kTunnelEnds = {"complete", "service_gone", "client_gone", "idle",
                                          "drained"};
constexpr Names<TunnelDirection> kTunnelDirections = {"to_service", "to_client"};
constexpr Names<Http2Flood> kHttp2Floods = {
    "resets",     "errors",       "pings",         "settings", "priorities",
    "empty_data", "tiny_windows", "continuations", "acks",     "queued_frames"};
constexpr Names<GrpcCode> kGrpcCodes = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED",
                                        "other",
                                        "none"};
constexpr Names<UpstreamPhase> kUpstreamPhases = {"connect", "head", "total"};
constexpr Names<ConnectionState> kConnectionStates = {"active", "idle"};

// The table initialisers above would leave the rest empty if a name were forgotten.
template <class List>
constexpr bool IsComplete(const List& names) {
  for (std::string_view name : names) {
    if (name.empty()) return false;
  }
  return true;
}
static_assert(IsComplete(kCodeClasses) && IsComplete(kStreamOutcomes) &&
              IsComplete(kIdempotencyResults) && IsComplete(kHttp2Floods) &&
              IsComplete(kLimiterDecisionNames) && IsComplete(kFilterModes) &&
              IsComplete(kBreakerStates) && IsComplete(kBreakerCauses) &&
              IsComplete(kBreakerRefusals) && IsComplete(kProbeResults) &&
              IsComplete(kRetryCauses) && IsComplete(kRetryResults) && IsComplete(kTimeoutTiers) &&
              IsComplete(kTunnelEnds) && IsComplete(kTunnelDirections) &&
              IsComplete(kGrpcCodes) && IsComplete(kUpstreamPhases) &&
              IsComplete(kConnectionStates));

std::span<const std::string_view> ReasonNames() {
  static const auto names = [] {
    Names<http::Reason> list;
    for (size_t i = 0; i < list.size(); ++i) {
      list[i] = http::ReasonName(static_cast<http::Reason>(i));
    }
    return list;
  }();
  return names;
}

}  // namespace

std::span<const std::string_view> CodeClassNames() { return kCodeClasses; }
std::span<const std::string_view> StreamOutcomeNames() { return kStreamOutcomes; }
std::span<const std::string_view> IdempotencyResultNames() { return kIdempotencyResults; }
std::span<const std::string_view> LimiterDecisionNames() { return kLimiterDecisionNames; }
std::span<const std::string_view> FilterModeNames() { return kFilterModes; }
std::span<const std::string_view> BreakerStateNames() { return kBreakerStates; }
std::span<const std::string_view> BreakerCauseNames() { return kBreakerCauses; }
std::span<const std::string_view> BreakerRefusalNames() { return kBreakerRefusals; }
std::span<const std::string_view> ProbeResultNames() { return kProbeResults; }
std::span<const std::string_view> RetryCauseNames() { return kRetryCauses; }
std::span<const std::string_view> RetryResultNames() { return kRetryResults; }
std::span<const std::string_view> TimeoutTierNames() { return kTimeoutTiers; }
std::span<const std::string_view> TunnelEndNames() { return kTunnelEnds; }
std::span<const std::string_view> TunnelDirectionNames() { return kTunnelDirections; }
std::span<const std::string_view> Http2FloodNames() { return kHttp2Floods; }
std::span<const std::string_view> GrpcCodeNames() { return kGrpcCodes; }
std::span<const std::string_view> UpstreamPhaseNames() { return kUpstreamPhases; }
std::span<const std::string_view> ConnectionStateNames() { return kConnectionStates; }

CodeClass CodeClassOf(int status) {
  if (status < 100 || status > 599) return CodeClass::kNone;
  return static_cast<CodeClass>(status / 100 - 1);
}

GrpcCode GrpcCodeOf(std::optional<int> status) {
  if (!status.has_value()) return GrpcCode::kNone;
  if (*status < 0 || *status > static_cast<int>(GrpcCode::kUnauthenticated))
    return GrpcCode::kOther;
  return static_cast<GrpcCode>(*status);
}

RouteMetrics::RouteMetrics(Registry& registry, std::string_view route)
    : requests(registry, families::kRequests, LabelValues{route}, kCodeClasses, ReasonNames()),
      stream_outcome(registry, families::kStreamOutcome, LabelValues{route}, kStreamOutcomes),
      grpc_calls(registry, families::kGrpcCalls, LabelValues{route}, kGrpcCodes),
      duration(registry.AddHistogram(families::kRequestDuration, {route})),
      ttft(registry.AddHistogram(families::kTtft, {route})),
      inter_token(registry.AddHistogram(families::kInterToken, {route})),
      tunnels(registry, families::kTunnels, LabelValues{route}, kTunnelEnds),
      tunnel_bytes(registry, families::kTunnelBytes, LabelValues{route}, kTunnelDirections),
      tunnel_duration(registry.AddHistogram(families::kTunnelDuration, {route})) {}

UpstreamMetrics::UpstreamMetrics(Registry& registry, std::string_view upstream) {
  for (size_t i = 0; i < duration.size(); ++i) {
    duration[i] =
        registry.AddHistogram(families::kUpstreamDuration, {upstream, kUpstreamPhases[i]});
  }
  for (size_t i = 0; i < connections.size(); ++i) {
    connections[i] =
        registry.AddGauge(families::kUpstreamConnections, {upstream, kConnectionStates[i]});
  }
}

RuleMetrics::RuleMetrics(Registry& registry, std::string_view rule)
    : decisions(registry, families::kLimiterDecisions, LabelValues{rule}, kLimiterDecisionNames,
                kFilterModes) {}

BreakerMetrics::BreakerMetrics(Registry& registry, std::string_view breaker)
    : transitions(registry, families::kBreakerTransitions, LabelValues{breaker}, kBreakerStates,
                  kBreakerCauses),
      refusals(registry, families::kBreakerRefusals, LabelValues{breaker}, kBreakerRefusals,
               kFilterModes),
      probes(registry, families::kBreakerProbes, LabelValues{breaker}, kProbeResults) {}

StandardMetrics::StandardMetrics(Registry& registry, size_t max_label_values)
    : in_flight(registry.AddGauge(families::kInFlight)),
      open_tunnels(registry.AddGauge(families::kOpenTunnels)),
      downstream_connections(registry.AddGauge(families::kDownstreamConnections)),
      accept_errors(registry.AddCounter(families::kAcceptErrors)),
      http2_floods(registry, families::kHttp2Floods, LabelValues{}, kHttp2Floods),
      idempotency(registry, families::kIdempotency, LabelValues{}, kIdempotencyResults),
      retries(registry, families::kRetries, LabelValues{}, kRetryCauses, kRetryResults),
      retry_backoff(registry.AddHistogram(families::kRetryBackoff)),
      timeouts(registry, families::kTimeouts, LabelValues{}, kTimeoutTiers),
      tenants(registry, "tenant", max_label_values),
      registry_(registry) {}

template <class Metrics>
Metrics& StandardMetrics::Find(ByName<Metrics>& metrics, std::string_view name) {
  std::lock_guard lock(mutex_);
  if (auto found = metrics.find(name); found != metrics.end()) return *found->second;
  auto added = std::make_unique<Metrics>(registry_, name);
  return *metrics.emplace(std::string(name), std::move(added)).first->second;
}

RouteMetrics& StandardMetrics::Route(std::string_view name) { return Find(routes_, name); }
UpstreamMetrics& StandardMetrics::Upstream(std::string_view name) { return Find(upstreams_, name); }
RuleMetrics& StandardMetrics::Rule(std::string_view name) { return Find(rules_, name); }
BreakerMetrics& StandardMetrics::Breaker(std::string_view id) { return Find(breakers_, id); }

}  // namespace outrigger::metrics
