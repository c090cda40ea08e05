#include "proxy/chain/limit_filters.h"

#include <algorithm>
#include <utility>

#include "filters/breaker/breaker_filter.h"
#include "filters/rate_limit/rate_limit_filter.h"
#include "filters/retry/retry_after.h"
#include "fmt/format.h"
#include "proxy/chain/policies.h"

namespace outrigger::chain {
namespace {

bool IsSameButForMode(const rate_limit::Rule& a, rate_limit::Rule b) {
  b.mode = a.mode;
  return a == b;
}

bool TellsTenantsApart(const rate_limit::Rule& rule) {
  return std::any_of(rule.key.begin(), rule.key.end(), [](const rate_limit::KeyPart& part) {
    return part.kind == rate_limit::KeyPart::Kind::kTenant;
  });
}

// A tenant on a route of an upstream.
uint64_t ThrottleScope(rate_limit::HashSecret secret, std::string_view upstream,
                       std::string_view route, std::string_view tenant) {
  rate_limit::KeyHasher hasher(secret);
  hasher.Add(upstream);
  hasher.Add(route);
  hasher.Add(tenant);
  return hasher.Finish();
}

}  // namespace

std::string LimiterScope(const rate_limit::Rule& rule, const std::string& route,
                         const rate_limit::Policy& of_chain) {
  const bool is_common =
      std::any_of(of_chain.rules.begin(), of_chain.rules.end(),
                  [&](const rate_limit::Rule& other) { return IsSameButForMode(rule, other); });
  const std::string scope = is_common ? rule.name : fmt::format("route/{}/{}", route, rule.name);
  return rule.mode == rate_limit::Mode::kShadow ? fmt::format("shadow/{}", scope) : scope;
}

std::unique_ptr<Filter> MakeRateLimit(const config::RouteConfig& route,
                                      const config::ListenerConfig& listener,
                                      const config::RateLimitSettings& of_chain,
                                      const ChainParts& parts) {
  const rate_limit::Policy policy = ToPolicy(route.filters.rate_limit);
  if (policy.mode == rate_limit::Mode::kDisabled) return nullptr;
  const rate_limit::Policy chain_policy = ToPolicy(of_chain);
  rate_limit::RateLimitFilter::Options options{.ietf_headers = policy.ietf_headers,
                                               .openai_headers = policy.openai_headers,
                                               .route = route.name,
                                               .listener = listener.name,
                                               .secret = parts.shared.hash_secret(),
                                               .refused_tenants = parts.refused_tenants};
  for (const rate_limit::Rule& rule : policy.rules) {
    if (rule.mode == rate_limit::Mode::kDisabled) continue;
    const std::string scope = LimiterScope(rule, route.name, chain_policy);
    rate_limit::RateLimitFilter::BoundRule bound{
        .rule = rule,
        .table = parts.shared.Limiter(rule.name, scope,
                                      {.algorithm = rule.algorithm,
                                       .rate = rule.rate,
                                       .burst = rule.effective_burst(),
                                       .max_buckets = rule.max_buckets}),
        .metrics = &parts.standard_metrics.Rule(rule.name)};
    if (TellsTenantsApart(rule)) {
      bound.unverified =
          parts.shared.Limiter(rule.name, fmt::format("unverified/{}", scope),
                               {.rate = rule.rate, .burst = rule.effective_burst()});
    }
    options.rules.push_back(std::move(bound));
  }
  if (options.rules.empty()) return nullptr;
  return std::make_unique<rate_limit::RateLimitFilter>(parts.loop, parts.metrics,
                                                       std::move(options));
}

std::unique_ptr<Filter> MakeBreaker(const config::RouteConfig& route, const std::string& upstream,
                                    const ChainParts& parts) {
  const breaker::Policy policy = ToPolicy(route.filters.breaker);
  if (policy.mode == breaker::Mode::kDisabled) return nullptr;
  breaker::BreakerFilter::Options options{.mode = policy.mode,
                                          .slow_ttft = policy.slow.ttft,
                                          .overall_timeout = route.filters.timeout.overall};
  if (policy.throttle_gate) {
    options.throttle = {.gate = &parts.shared.throttle_gate(),
                        .scope =
                            [secret = parts.shared.hash_secret(), upstream,
                             name = route.name](const http::Request& request) {
                              return ThrottleScope(secret, upstream, name, request.tenant);
                            },
                        .asked_wait =
                            [&loop = parts.loop](const http::Response& response) {
                              return retry::ReadRetryHint(response.status, response.headers,
                                                          loop.WallNow())
                                  .wait.value_or(absl::ZeroDuration());
                            }};
  }
  std::shared_ptr<breaker::Breaker> of_route =
      parts.shared.breakers().Get(breaker::ScopeId(upstream, route.name), policy, parts.loop.Now());
  if (parts.probers != nullptr && !policy.probe.path.empty()) {
    parts.probers->Add(of_route, policy, parts.new_router(upstream));
  }
  return std::make_unique<breaker::BreakerFilter>(
      breaker::BreakerFilter::Parts{.loop = parts.loop,
                                    .log = parts.log,
                                    .metrics = parts.metrics,
                                    .counters = parts.standard_metrics.Breaker(of_route->id())},
      std::move(of_route), std::move(options));
}

std::function<absl::Duration(const http::Request&)> MakeReplayLimit(
    const config::IdempotencySettings& settings, const ChainParts& parts) {
  if (!settings.replay_rate.has_value()) return nullptr;
  const config::RateSpec& rate = *settings.replay_rate;
  return [table = parts.shared.Limiter(
              "replay_rate", fmt::format("replays/{}", config::RateText(rate)),
              {.rate = rate_limit::Rate::Make(rate.count, rate.per).value(), .burst = rate.count}),
          secret = parts.shared.hash_secret(), &loop = parts.loop](const http::Request& request) {
    rate_limit::KeyHasher hasher(secret);
    hasher.Add(request.tenant);
    const rate_limit::Decision decision = table->Acquire(hasher.Finish(), 1, loop.PreciseNow());
    return decision.admitted ? absl::ZeroDuration() : decision.wait;
  };
}

}  // namespace outrigger::chain
