// The one description of every key, of which parser, JSON Schema, reference page and dump are made.
//
// Built anew for each use and dropped afterwards: a running proxy keeps only its Config.

#pragma once

#include "proxy/config/config.h"
#include "proxy/config/filter_settings.h"
#include "proxy/config/listener_config.h"
#include "proxy/config/route_config.h"
#include "proxy/config/upstream_config.h"
#include "proxy/config/value_type.h"

namespace outrigger::config {

Type<Config> DescribeConfig();

Type<AdminConfig> DescribeAdmin();
Type<ListenerConfig> DescribeListener();
Type<UpstreamConfig> DescribeUpstream();
Type<HealthSettings> DescribeHealth();
Type<RouteConfig> DescribeRoute();
Type<TenantConfig> DescribeTenant();

// One key for each filter; it reads the settings of a route's `filters`, and each element of the
// chain's list.
Type<FilterSettings> DescribeFilters();
Type<IdempotencySettings> DescribeIdempotency();
Type<RateLimitSettings> DescribeRateLimit();
Type<RetrySettings> DescribeRetry();
Type<BreakerSettings> DescribeBreaker();
Type<TimeoutSettings> DescribeTimeout();
Type<FilterMode> DescribeFilterMode();

}  // namespace outrigger::config
