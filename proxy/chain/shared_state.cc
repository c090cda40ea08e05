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
    : memory_(options.memory_bytes),
      key_maker_(idempotency::StoreKeyMaker::WithRandomSecret()),
      keys_({.limits = options.key_limits,
             .budget = &memory_,
             .audit = options.audit,
             .clock = options.clock}),
      breakers_(options.seed, std::move(options.on_breaker_transition)),
      hash_secret_(MakeSecret(options.seed)),
      clock_(std::move(options.clock)) {}

std::shared_ptr<rate_limit::LimiterTable> SharedState::Limiter(
    const std::string& rule, const std::string& scope,
    const rate_limit::LimiterTable::Options& options) {
  const std::lock_guard lock(mutex_);
  NamedLimiter& limiter = limiters_[scope];
  if (limiter.table == nullptr) {
    limiter = {rule, std::make_shared<rate_limit::LimiterTable>(options, clock_())};
  }
  return limiter.table;
}

std::vector<std::pair<std::string, size_t>> SharedState::LimiterBuckets() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, size_t>> buckets;
  for (const auto& [scope, limiter] : limiters_) {
    buckets.emplace_back(limiter.rule, limiter.table->stats().buckets);
  }
  return buckets;
}

std::shared_ptr<retry::RetryBudget> SharedState::Budget(const std::string& upstream,
                                                        const retry::BudgetPolicy& policy) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<retry::RetryBudget>& budget = budgets_[upstream];
  if (budget == nullptr) budget = std::make_shared<retry::RetryBudget>(policy);
  return budget;
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
  return budgets_;
}

}  // namespace outrigger::chain
