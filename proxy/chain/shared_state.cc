#include "proxy/chain/shared_state.h"

#include <utility>

#include "proxy/base/random.h"

namespace outrigger::chain {
namespace {

rate_limit::HashSecret MakeSecret(uint64_t seed) {
  Random random(seed);
  const uint64_t k0 = random.Next();
  return {k0, random.Next()};
}

}  // namespace

SharedState::SharedState(Options options)
    : memory_(options.limits.memory_bytes),
      key_maker_(idempotency::StoreKeyMaker::WithRandomSecret()),
      keys_({.limits = options.limits.key_limits,
             .budget = &memory_,
             .audit = options.audit,
             .clock = options.clock}),
      breakers_(options.seed, std::move(options.on_breaker_transition)),
      hash_secret_(MakeSecret(options.seed)),
      clock_(std::move(options.clock)) {}

void SharedState::BeginConfiguration(const Limits& limits) {
  memory_.SetLimit(limits.memory_bytes);
  keys_.SetLimits(limits.key_limits);
  const std::lock_guard lock(mutex_);
  ++configuration_;
}

void SharedState::DropUnused() {
  breakers_.DropUnused();
  const std::lock_guard lock(mutex_);
  // Who has one got it from here or from one who has it, so that a count of one stays.
  std::erase_if(limiters_, [](const auto& entry) { return entry.second.table.use_count() == 1; });
  std::erase_if(budgets_, [](const auto& entry) { return entry.second.budget.use_count() == 1; });
  std::erase_if(ttft_limits_,
                [](const auto& entry) { return entry.second.limit.use_count() == 1; });
  std::erase_if(replay_pools_, [](const auto& entry) { return entry.second.use_count() == 1; });
  std::erase_if(upstreams_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

std::shared_ptr<rate_limit::LimiterTable> SharedState::Limiter(
    const std::string& rule, const std::string& scope,
    const rate_limit::LimiterTable::Options& options) {
  const std::lock_guard lock(mutex_);
  NamedLimiter& limiter = limiters_[scope];
  if (limiter.table == nullptr || limiter.table->algorithm() != options.algorithm) {
    limiter.rule = rule;
    limiter.table = std::make_shared<rate_limit::LimiterTable>(options, clock_());
  } else if (limiter.configuration == configuration_) {
    return limiter.table;
  } else if (limiter.options != options) {
    limiter.table->Reconfigure(options, clock_());
  }
  limiter.options = options;
  limiter.configuration = configuration_;
  return limiter.table;
}

std::vector<std::pair<std::string, size_t>> SharedState::LimiterBuckets() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, size_t> buckets;
  for (const auto& [scope, limiter] : limiters_) {
    buckets[limiter.rule] += limiter.table->stats().buckets;
  }
  return {buckets.begin(), buckets.end()};
}

std::shared_ptr<retry::RetryBudget> SharedState::Budget(const std::string& upstream,
                                                        const retry::BudgetPolicy& policy) {
  const std::lock_guard lock(mutex_);
  NamedBudget& named = budgets_[upstream];
  if (named.budget == nullptr) {
    named = {std::make_shared<retry::RetryBudget>(policy), configuration_};
  } else if (std::exchange(named.configuration, configuration_) != configuration_) {
    named.budget->SetPolicy(policy);
  }
  return named.budget;
}

std::shared_ptr<timeout::AdaptiveLimit> SharedState::TtftLimit(
    const RouteScope& scope, const timeout::AdaptivePolicy& policy) {
  const std::lock_guard lock(mutex_);
  NamedTtftLimit& named = ttft_limits_[scope];
  if (named.limit == nullptr) {
    named = {std::make_shared<timeout::AdaptiveLimit>(policy), configuration_};
  } else if (std::exchange(named.configuration, configuration_) != configuration_) {
    named.limit->SetPolicy(policy);
  }
  return named.limit;
}

std::shared_ptr<MemoryBudget> SharedState::ReplayPool(size_t limit_bytes) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<MemoryBudget>& pool = replay_pools_[limit_bytes];
  if (pool == nullptr) pool = std::make_shared<MemoryBudget>(limit_bytes);
  return pool;
}

std::shared_ptr<upstream::SharedUpstreamState> SharedState::Upstream(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<upstream::SharedUpstreamState>& state = upstreams_[name];
  if (state == nullptr) state = std::make_shared<upstream::SharedUpstreamState>();
  return state;
}

std::map<std::string, std::shared_ptr<retry::RetryBudget>> SharedState::Budgets() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::shared_ptr<retry::RetryBudget>> budgets;
  for (const auto& [upstream, named] : budgets_) budgets[upstream] = named.budget;
  return budgets;
}

std::map<SharedState::RouteScope, std::shared_ptr<timeout::AdaptiveLimit>> SharedState::TtftLimits()
    const {
  const std::lock_guard lock(mutex_);
  std::map<RouteScope, std::shared_ptr<timeout::AdaptiveLimit>> limits;
  for (const auto& [scope, named] : ttft_limits_) limits[scope] = named.limit;
  return limits;
}

}  // namespace outrigger::chain
