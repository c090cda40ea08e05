// Every metric family of Outrigger: the one place where names, labels and help texts are written
// (OB-2). docs/metrics.md is generated from this list.

#pragma once

#include <span>

#include "proxy/metrics/descriptor.h"

namespace outrigger::metrics {
namespace families {

// OB-3. The bounds of the first-token and inter-token times are those that model servers use, so
// that the proxy's view can be laid over theirs.
inline constexpr double kRequestSeconds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                             0.1,    0.25,  0.5,    1,     2.5,  5,     10,
                                             30,     60,    120,    300,   600};
inline constexpr double kTtftSeconds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                          0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                          20,    40,    80,   160,  640,  2560};
inline constexpr double kInterTokenSeconds[] = {
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
inline constexpr double kUpstreamSeconds[] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
inline constexpr double kBackoffSeconds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
inline constexpr double kTunnelSeconds[] = {0.1, 1, 10, 60, 300, 900, 3600, 14400, 86400};

// Downstream.
inline constexpr Descriptor kRequests = {
    "outrigger_requests_total", Type::kCounter, "route,code_class,reason",
    "Requests by route, worst of HTTP status and stream outcome, and the reason when the proxy "
    "answered itself."};
inline constexpr Descriptor kRequestDuration = {
    "outrigger_request_duration_seconds",
    Type::kHistogram,
    "route",
    "Time from the request's head to the end of its response.",
    kRequestSeconds,
    Shown::kOnceUsed};
inline constexpr Descriptor kTtft = {
    "outrigger_ttft_seconds",
    Type::kHistogram,
    "route",
    "Time from the request's head to the first content event of a streamed response.",
    kTtftSeconds,
    Shown::kOnceUsed};
inline constexpr Descriptor kInterToken = {"outrigger_inter_token_seconds",
                                           Type::kHistogram,
                                           "route",
                                           "Time between content events of a streamed response.",
                                           kInterTokenSeconds,
                                           Shown::kOnceUsed};
inline constexpr Descriptor kStreamOutcome = {
    "outrigger_stream_outcome_total", Type::kCounter, "route,outcome",
    "Streamed responses by how they ended: complete, error_event, cut, stall, client_gone."};
inline constexpr Descriptor kGrpcCalls = {
    "outrigger_grpc_calls_total", Type::kCounter, "route,code",
    "gRPC calls by the status that their caller was told; none: without one, since the call was "
    "cut or left."};
inline constexpr Descriptor kOpenTunnels = {"outrigger_open_tunnels", Type::kGauge, "",
                                            "Tunnels, WebSockets for example, that are open."};
inline constexpr Descriptor kTunnels = {
    "outrigger_tunnels_total", Type::kCounter, "route,end",
    "Tunnels by how they ended: complete, service_gone, client_gone, idle, drained."};
inline constexpr Descriptor kTunnelBytes = {"outrigger_tunnel_bytes_total", Type::kCounter,
                                            "route,direction",
                                            "Bytes that tunnels carried to_service and to_client."};
inline constexpr Descriptor kTunnelDuration = {
    "outrigger_tunnel_duration_seconds",
    Type::kHistogram,
    "route",
    "Time from the opening of a tunnel to its end; its request's duration ends with the opening.",
    kTunnelSeconds,
    Shown::kOnceUsed};
inline constexpr Descriptor kInFlight = {"outrigger_in_flight_requests", Type::kGauge, "",
                                         "Requests that have begun and not ended."};
inline constexpr Descriptor kDownstreamConnections = {
    "outrigger_downstream_connections", Type::kGauge, "", "Open connections from clients."};
inline constexpr Descriptor kAcceptErrors = {
    "outrigger_accept_errors_total", Type::kCounter, "",
    "Connections that could not be accepted, for example at the limit of open files."};
inline constexpr Descriptor kHttp2Floods = {
    "outrigger_http2_floods_total", Type::kCounter, "what",
    "HTTP/2 connections that were ended because their client flooded them, by what with."};

// TLS.
inline constexpr Descriptor kTlsHandshakes = {
    "outrigger_tls_handshakes_total", Type::kCounter, "side,name,outcome",
    "TLS handshakes of a listener (side downstream) or an upstream, by how they ended: done, "
    "certificate, refused, protocol, plain_http, peer_closed, given_up."};
inline constexpr Descriptor kTlsCertificateExpiry = {
    "outrigger_tls_certificate_expiry_timestamp_seconds", Type::kGauge, "side,name",
    "When the certificate in use ends, in seconds since 1970."};
inline constexpr Descriptor kTlsReloads = {
    "outrigger_tls_reloads_total", Type::kCounter, "side,name,result",
    "Changed certificate files that were loaded, or could not be used and were passed over."};
inline constexpr Descriptor kTlsLastReload = {
    "outrigger_tls_last_reload_successful", Type::kGauge, "side,name",
    "0 while the certificate files have a fault and an earlier state of them is in use."};

// Of `outrigger injector`, which is a process of its own.
inline constexpr Descriptor kInjectorReviews = {
    "outrigger_injector_reviews_total", Type::kCounter, "verdict",
    "Pods that the API server asked `outrigger injector` about: injected, left_alone, impossible "
    "(the pod says why), or malformed."};

// Filters.
inline constexpr Descriptor kIdempotency = {
    "outrigger_idempotency_total", Type::kCounter, "result",
    "What the idempotency filter did with requests that carry a key."};
inline constexpr Descriptor kIdempotencyKeys = {"outrigger_idempotency_keys", Type::kGauge, "state",
                                                "Keys in the idempotency table by state."};
inline constexpr Descriptor kIdempotencyBodyBytes = {
    "outrigger_idempotency_body_bytes", Type::kGauge, "", "Bytes of stored responses."};
inline constexpr Descriptor kLimiterDecisions = {
    "outrigger_limiter_decisions_total", Type::kCounter, "rule,decision,mode",
    "Decisions of each rate limit rule: allowed or rejected, enforced or in shadow."};
inline constexpr Descriptor kLimiterBuckets = {"outrigger_limiter_buckets", Type::kGauge, "rule",
                                               "Buckets held by each rate limit rule."};
inline constexpr Descriptor kLimiterTenantRejections = {
    "outrigger_limiter_tenant_rejections_total", Type::kCounter, "tenant",
    "Requests refused by rate limits, by tenant: the trusted header's value or a hash."};
inline constexpr Descriptor kBreakerState = {"outrigger_breaker_state", Type::kGauge, "breaker",
                                             "State of a breaker: 0 closed, 1 half-open, 2 open."};
inline constexpr Descriptor kBreakerTransitions = {
    "outrigger_breaker_transitions_total", Type::kCounter, "breaker,to,cause",
    "State changes of a breaker by new state and cause."};
inline constexpr Descriptor kBreakerRefusals = {
    "outrigger_breaker_refusals_total", Type::kCounter, "breaker,reason,mode",
    "Attempts that a breaker or its throttle gate refused, or in shadow mode would have refused."};
inline constexpr Descriptor kBreakerProbes = {
    "outrigger_breaker_probes_total", Type::kCounter, "breaker,result",
    "Requests of the breaker's own for `probe.path`, by result."};
inline constexpr Descriptor kRetries = {"outrigger_retries_total", Type::kCounter, "cause,result",
                                        "Failed attempts by cause and by what retry made of them."};
inline constexpr Descriptor kRetryBackoff = {
    "outrigger_retry_backoff_seconds", Type::kHistogram, "",
    "Waits before another attempt.",   kBackoffSeconds,  Shown::kOnceUsed};
inline constexpr Descriptor kRetryBudget = {
    "outrigger_retry_budget_remaining", Type::kGauge, "upstream",
    "Retries that the budget of an upstream still allows in this window."};
inline constexpr Descriptor kTimeouts = {"outrigger_timeouts_total", Type::kCounter, "tier",
                                         "Timeouts that fired, by tier."};

inline constexpr Descriptor kTtftLimit = {
    "outrigger_ttft_limit_seconds", Type::kGauge, "upstream,route",
    "The limit for the first content of a stream that holds now, of routes with `adaptive`."};

// Upstream.
inline constexpr Descriptor kUpstreamDuration = {
    "outrigger_upstream_duration_seconds",
    Type::kHistogram,
    "upstream,phase",
    "Time of an attempt until connected (connect), until the response's head (head) and until its "
    "end (total).",
    kUpstreamSeconds,
    Shown::kOnceUsed};
inline constexpr Descriptor kUpstreamConnections = {
    "outrigger_upstream_connections", Type::kGauge, "upstream,state",
    "Open connections to an upstream, active or idle."};
inline constexpr Descriptor kUpstreamEjected = {
    "outrigger_upstream_endpoint_ejected", Type::kGauge, "upstream,endpoint",
    "Workers that pass over an endpoint after failed connects; each finds out for itself."};
inline constexpr Descriptor kAppHealthy = {
    "outrigger_app_healthy", Type::kGauge, "check",
    "1 while the periodic check of the service behind the proxy passes."};

inline constexpr Descriptor kInferenceProbes = {
    "outrigger_inference_probes_total", Type::kCounter, "check,result",
    "Requests of the proxy's own for `health.inference`, passed or failed."};

// Process.
inline constexpr Descriptor kBufferBytes = {
    "outrigger_buffer_bytes", Type::kGauge, "",
    "Bytes held in buffers, replay buffers and recordings, as charged to the memory budget."};
inline constexpr Descriptor kBufferLimitBytes = {"outrigger_buffer_limit_bytes", Type::kGauge, "",
                                                 "The memory budget."};
inline constexpr Descriptor kConfigGeneration = {
    "outrigger_config_generation", Type::kGauge, "",
    "Number of the configuration in use, counted from 1 at start."};
inline constexpr Descriptor kConfigLastReload = {
    "outrigger_config_last_reload_successful", Type::kGauge, "",
    "1 when the latest attempt to load a configuration succeeded."};
inline constexpr Descriptor kConfigLoadedAt = {
    "outrigger_config_loaded_timestamp_seconds", Type::kGauge, "",
    "When the configuration in use was loaded, since 1970."};
inline constexpr Descriptor kBuildInfo = {"outrigger_build_info", Type::kGauge, "version,compiler",
                                          "Always 1; the labels say what is running."};
inline constexpr Descriptor kLogsDropped = {
    "outrigger_logs_dropped_total", Type::kCounter, "",
    "Log lines given up because standard output did not keep up."};
inline constexpr Descriptor kLabelsFolded = {
    "outrigger_labels_folded_total", Type::kCounter, "label",
    "Observations whose label value was replaced by other because the table was full."};
inline constexpr Descriptor kSeriesRefused = {
    "outrigger_series_refused_total", Type::kCounter, "",
    "Series that could not be added because the registry is full."};
inline constexpr Descriptor kProcessStartTime = {
    "outrigger_process_start_time_seconds", Type::kGauge, "",
    "When the process started, in seconds since 1970."};
inline constexpr Descriptor kProcessResident = {"outrigger_process_resident_memory_bytes",
                                                Type::kGauge, "", "Resident memory."};
inline constexpr Descriptor kProcessCpu = {"outrigger_process_cpu_seconds_total", Type::kCounter,
                                           "", "User and system time used by the process."};
inline constexpr Descriptor kProcessOpenFds = {"outrigger_process_open_fds", Type::kGauge, "",
                                               "Open file descriptors."};
inline constexpr Descriptor kProcessMaxFds = {"outrigger_process_max_fds", Type::kGauge, "",
                                              "Limit of open file descriptors."};

}  // namespace families

// All of the above, in order.
std::span<const Descriptor* const> AllDescriptors();

}  // namespace outrigger::metrics
