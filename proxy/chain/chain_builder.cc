#include "proxy/chain/chain_builder.h"

#include <algorithm>
#include <utility>

#include "filters/common/commit_gate.h"
#include "filters/idempotency/idempotency_filter.h"
#include "filters/retry/retry_filter.h"
#include "filters/timeout/timeout_filter.h"
#include "proxy/chain/limit_filters.h"
#include "proxy/chain/policies.h"

namespace outrigger::chain {
namespace {

common::StreamGrammar GrammarOf(config::Preset preset) {
  switch (preset) {
    case config::Preset::kOpenai:
      return common::StreamGrammar::kOpenAi;
    case config::Preset::kAnthropic:
      return common::StreamGrammar::kAnthropic;
    case config::Preset::kNone:
    case config::Preset::kEmbeddings:
    case config::Preset::kKserve:
      break;
  }
  return common::StreamGrammar::kGeneric;
}

common::DecideOptions DecideOptionsOf(const config::RouteConfig& route) {
  return {.unavailable_means = route.means_503 == config::MeaningOf503::kNotExecuted
                                   ? common::UnavailableMeans::kNotExecuted
                                   : common::UnavailableMeans::kMaybe};
}

std::unique_ptr<Filter> MakeIdempotency(const config::RouteConfig& route, const ChainParts& parts) {
  return std::make_unique<idempotency::IdempotencyFilter>(
      idempotency::IdempotencyFilter::Parts{
          .execution = {.loop = parts.loop,
                        .runtime = parts.executions,
                        .budget = parts.shared.memory(),
                        .metrics = parts.metrics,
                        .standard_metrics = parts.standard_metrics},
          .keys = parts.shared.keys(),
          .key_maker = parts.shared.key_maker(),
          .replay_wait = MakeReplayLimit(route.filters.idempotency, parts)},
      idempotency::IdempotencyFilter::Policy{
          .execution = {.keys = ToPolicy(route.filters.idempotency),
                        .decide = DecideOptionsOf(route)},
          .max_stream = route.filters.timeout.max_stream});
}

std::unique_ptr<Filter> MakeRetry(const config::RouteConfig& route, const std::string& upstream,
                                  const ChainParts& parts) {
  const config::RetrySettings& settings = route.filters.retry;
  retry::RetryPolicy policy = ToPolicy(settings);
  retry::RetryFilter::Parts own{.loop = parts.loop,
                                .random = parts.random,
                                .metrics = parts.metrics,
                                .standard_metrics = parts.standard_metrics,
                                .log = parts.log,
                                .memory = parts.shared.memory(),
                                .budget = parts.shared.Budget(upstream, policy.budget),
                                .replay_pool = parts.shared.ReplayPool(settings.replay_pool)};
  return std::make_unique<retry::RetryFilter>(std::move(policy), DecideOptionsOf(route),
                                              std::move(own));
}

std::unique_ptr<Filter> MakeTimeout(const config::RouteConfig& route, const std::string& upstream,
                                    const ChainParts& parts) {
  const config::TimeoutSettings& settings = route.filters.timeout;
  timeout::TimeoutFilter::Parts own{.loop = parts.loop,
                                    .deadlines = parts.timeouts,
                                    .metrics = parts.metrics,
                                    .standard_metrics = parts.standard_metrics};
  if (settings.adaptive.has_value()) {
    own.adaptive = parts.shared.TtftLimit({upstream, route.name}, ToAdaptivePolicy(settings));
  }
  return std::make_unique<timeout::TimeoutFilter>(ToPolicy(settings), std::move(own));
}

std::unique_ptr<Filter> MakeFilter(config::FilterKind kind, const config::RouteConfig& route,
                                   const config::ListenerConfig& listener,
                                   const std::string& upstream, const config::Config& config,
                                   const ChainParts& parts) {
  switch (kind) {
    case config::FilterKind::kIdempotency:
      return MakeIdempotency(route, parts);
    case config::FilterKind::kRetry:
      return MakeRetry(route, upstream, parts);
    case config::FilterKind::kTimeout:
      return MakeTimeout(route, upstream, parts);
    case config::FilterKind::kRateLimit:
      return MakeRateLimit(route, listener, config.filters.settings.rate_limit, parts);
    case config::FilterKind::kBreaker:
      return MakeBreaker(route, upstream, parts);
  }
  return nullptr;
}

RouteChain BuildRoute(const config::RouteConfig& route, const config::ListenerConfig& listener,
                      const config::Config& config, const ChainParts& parts) {
  const config::TimeoutSettings& timeout = route.filters.timeout;
  const std::string& upstream = route.upstream.value_or(listener.upstream);
  RouteChain chain;
  chain.name = route.name;
  chain.config = &route;
  chain.metrics = &parts.standard_metrics.Route(route.name);
  chain.overall_timeouts = &parts.timeouts.For(timeout.overall);
  chain.max_stream_timeouts = &parts.timeouts.For(timeout.max_stream);
  chain.tunnel_idle_timeouts =
      &parts.timeouts.For(timeout.tunnel_idle.value_or(absl::InfiniteDuration()));
  chain.trusts_sdk_timeout = timeout.trust_sdk_header;
  for (config::FilterKind kind : config.filters.order) {
    std::unique_ptr<Filter> filter = MakeFilter(kind, route, listener, upstream, config, parts);
    if (filter != nullptr) chain.filters.push_back(std::move(filter));
  }
  using common::CommitGate;
  DeadlineQueue* hold = nullptr;
  DeadlineQueue* grpc_hold = nullptr;
  if (route.filters.retry.commit == config::CommitPoint::kContent) {
    // A learned limit shortens the hold of the attempt that it holds for.
    hold = &parts.timeouts.For(timeout.adaptive.has_value()
                                   ? CommitGate::kLongestHold
                                   : std::min(CommitGate::kLongestHold, timeout.ttft));
    grpc_hold = &parts.timeouts.For(std::min(CommitGate::kLongestGrpcHold, timeout.ttft));
  }
  chain.filters.push_back(
      std::make_unique<CommitGate>(parts.loop, GrammarOf(route.preset), hold, grpc_hold));
  chain.filters.push_back(parts.new_router(upstream));
  return chain;
}

}  // namespace

std::shared_ptr<const ChainSnapshot> BuildChains(std::shared_ptr<const config::Config> config,
                                                 const ChainParts& parts) {
  auto snapshot = std::make_shared<ChainSnapshot>(config);
  for (const config::ListenerConfig& listener : config->listeners) {
    ChainSnapshot::ListenerChains& chains = snapshot->listeners.emplace_back();
    for (const config::RouteConfig& route : config->routes) {
      chains.routes.push_back(BuildRoute(route, listener, *config, parts));
    }
    for (const config::RouteConfig& route : config->preset_routes) {
      chains.presets.push_back(BuildRoute(route, listener, *config, parts));
    }
    chains.unmatched = BuildRoute(snapshot->unmatched_route, listener, *config, parts);
    chains.forwards_unmatched = listener.unmatched == config::Unmatched::kForward;
  }
  return snapshot;
}

}  // namespace outrigger::chain
