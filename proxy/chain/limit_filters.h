// Makes the two filters whose state is shared by the pod: the rate limiter and the breaker.
//
//   std::unique_ptr<Filter> filter = MakeRateLimit(route, listener, chain_rules, parts);
//
// Null when the filter has nothing to do: it is disabled, or has no rule. Called when chains are
// built. Also here, because its state is of the same kind: the limit of replays.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/chain/chain_builder.h"
#include "proxy/chain/filter.h"
#include "proxy/config/listener_config.h"
#include "proxy/config/route_config.h"

namespace outrigger::chain {

// `of_chain` are the settings that hold for all routes. A rule that stands there as it stands in
// the route has its buckets in common with the other routes; one that the route has changed has its
// own. Shadow rules never share with enforced ones, whose buckets they would empty.
std::unique_ptr<Filter> MakeRateLimit(const config::RouteConfig& route,
                                      const config::ListenerConfig& listener,
                                      const config::RateLimitSettings& of_chain,
                                      const ChainParts& parts);

std::unique_ptr<Filter> MakeBreaker(const config::RouteConfig& route, const std::string& upstream,
                                    const ChainParts& parts);

// How long a tenant has to wait before it may be given another kept answer (`replay_rate`), a
// bucket of which is spent when that is zero. Null: no limit. Routes of one rate share the buckets.
std::function<absl::Duration(const http::Request&)> MakeReplayLimit(
    const config::IdempotencySettings& settings, const ChainParts& parts);

// The name of a rule's buckets in SharedState.
std::string LimiterScope(const rate_limit::Rule& rule, const std::string& route,
                         const rate_limit::Policy& of_chain);

}  // namespace outrigger::chain
