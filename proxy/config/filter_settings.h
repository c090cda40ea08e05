// The filters of the chain: which, in what order, with which settings.

#pragma once

#include <string_view>
#include <vector>

#include "proxy/config/breaker_settings.h"
#include "proxy/config/idempotency_settings.h"
#include "proxy/config/rate_limit_settings.h"
#include "proxy/config/retry_settings.h"
#include "proxy/config/timeout_settings.h"

namespace outrigger::config {

enum class FilterKind { kIdempotency, kRateLimit, kRetry, kBreaker, kTimeout };

// The key of the filter in the file, for example "rate_limit".
std::string_view FilterName(FilterKind kind);

struct FilterSettings {
  IdempotencySettings idempotency;
  RateLimitSettings rate_limit;
  RetrySettings retry;
  BreakerSettings breaker;
  TimeoutSettings timeout;
};

struct FilterChain {
  // Outermost first. A filter that is not listed does not run; its settings are then the defaults.
  std::vector<FilterKind> order = {FilterKind::kIdempotency, FilterKind::kRateLimit,
                                   FilterKind::kRetry, FilterKind::kBreaker, FilterKind::kTimeout};
  FilterSettings settings;

  bool Contains(FilterKind kind) const;
};

}  // namespace outrigger::config
