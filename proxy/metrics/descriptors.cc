#include "proxy/metrics/descriptors.h"

namespace outrigger::metrics {

std::span<const Descriptor* const> AllDescriptors() {
  static constexpr const Descriptor* kAll[] = {
      &kRequests,
      &kRequestDuration,
      &kTtft,
      &kInterToken,
      &kStreamOutcome,
      &kInFlight,
      &kDownstreamConnections,
      &kAcceptErrors,
      &kIdempotency,
      &kIdempotencyKeys,
      &kIdempotencyBodyBytes,
      &kLimiterDecisions,
      &kLimiterBuckets,
      &kBreakerState,
      &kBreakerTransitions,
      &kRetries,
      &kRetryBackoff,
      &kRetryBudget,
      &kTimeouts,
      &kUpstreamDuration,
      &kUpstreamConnections,
      &kUpstreamEjected,
      &kAppHealthy,
      &kBufferBytes,
      &kBufferLimitBytes,
      &kConfigGeneration,
      &kConfigLastReload,
      &kBuildInfo,
      &kLogsDropped,
      &kLabelsFolded,
      &kSeriesRefused,
      &kProcessStartTime,
      &kProcessResident,
      &kProcessCpu,
      &kProcessOpenFds,
      &kProcessMaxFds,
  };
  return kAll;
}

}  // namespace outrigger::metrics
