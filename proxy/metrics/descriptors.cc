#include "proxy/metrics/descriptors.h"

namespace outrigger::metrics {

std::span<const Descriptor* const> AllDescriptors() {
  static constexpr const Descriptor* kAll[] = {
      &families::kRequests,
      &families::kRequestDuration,
      &families::kTtft,
      &families::kInterToken,
      &families::kStreamOutcome,
      &families::kGrpcCalls,
      &families::kInFlight,
      &families::kDownstreamConnections,
      &families::kAcceptErrors,
      &families::kTlsHandshakes,
      &families::kTlsCertificateExpiry,
      &families::kTlsReloads,
      &families::kTlsLastReload,
      &families::kHttp2Floods,
      &families::kIdempotency,
      &families::kIdempotencyKeys,
      &families::kIdempotencyBodyBytes,
      &families::kLimiterDecisions,
      &families::kLimiterBuckets,
      &families::kLimiterTenantRejections,
      &families::kBreakerState,
      &families::kBreakerTransitions,
      &families::kBreakerRefusals,
      &families::kBreakerProbes,
      &families::kRetries,
      &families::kRetryBackoff,
      &families::kRetryBudget,
      &families::kTimeouts,
      &families::kUpstreamDuration,
      &families::kUpstreamConnections,
      &families::kUpstreamEjected,
      &families::kAppHealthy,
      &families::kBufferBytes,
      &families::kBufferLimitBytes,
      &families::kConfigGeneration,
      &families::kConfigLastReload,
      &families::kBuildInfo,
      &families::kLogsDropped,
      &families::kLabelsFolded,
      &families::kSeriesRefused,
      &families::kProcessStartTime,
      &families::kProcessResident,
      &families::kProcessCpu,
      &families::kProcessOpenFds,
      &families::kProcessMaxFds,
  };
  return kAll;
}

}  // namespace outrigger::metrics
