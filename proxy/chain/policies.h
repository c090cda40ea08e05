// What the configuration says, in the words of the filters: the one place where settings become
// policies.
//
// Pure; the configuration has checked every value.

#pragma once

#include "filters/breaker/policy.h"
#include "filters/idempotency/policy.h"
#include "filters/rate_limit/policy.h"
#include "filters/retry/policy.h"
#include "filters/timeout/adaptive_limit.h"
#include "filters/timeout/policy.h"
#include "proxy/config/breaker_settings.h"
#include "proxy/config/idempotency_settings.h"
#include "proxy/config/rate_limit_settings.h"
#include "proxy/config/retry_settings.h"
#include "proxy/config/timeout_settings.h"

namespace outrigger::chain {

idempotency::IdempotencyPolicy ToPolicy(const config::IdempotencySettings& settings);
// Each rule has a mode of its own then: what it states, else the filter's.
rate_limit::Policy ToPolicy(const config::RateLimitSettings& settings);
retry::RetryPolicy ToPolicy(const config::RetrySettings& settings);
breaker::Policy ToPolicy(const config::BreakerSettings& settings);
timeout::TimeoutPolicy ToPolicy(const config::TimeoutSettings& settings);
// REQUIRES: settings.adaptive is stated.
timeout::AdaptivePolicy ToAdaptivePolicy(const config::TimeoutSettings& settings);

}  // namespace outrigger::chain
