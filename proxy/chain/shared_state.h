// What all workers share and what outlives a reload, in one place (architecture 6): keys, buckets,
// breakers, retry budgets, learned limits, concurrency counters, the memory budget.
//
// Everything is looked up by name when chains are built, never by a request. Each part states its
// own lock; the maps here are guarded by one mutex.
//
//   shared.BeginConfiguration(limits);           // a reload, before any worker builds its chains
//   shared.Limiter("per_tenant", scope, {...});  // the same buckets, with what now holds for them
//   shared.DropUnused();                         // now and then: what no chain has any more
//
// Who asks first within a configuration sets the numbers, so that workers agree on them; a state
// goes on under new numbers and is never filled up or forgotten by that.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "filters/breaker/breaker_registry.h"
#include "filters/breaker/throttle_gate.h"
#include "filters/idempotency/execution_runtime.h"
#include "filters/idempotency/store_key.h"
#include "filters/idempotency/table.h"
#include "filters/rate_limit/key_hash.h"
#include "filters/rate_limit/limiter_table.h"
#include "filters/retry/budget.h"
#include "filters/timeout/adaptive_limit.h"
#include "proxy/base/memory_budget.h"
#include "proxy/base/time.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::chain {

class SharedState {
 public:
  struct Limits {
    size_t memory_bytes = 48 << 20;
    idempotency::TableLimits key_limits;
  };
  struct Options {
    Limits limits;
    idempotency::AuditListener* audit = nullptr;
    breaker::TransitionListener on_breaker_transition;
    uint64_t seed = 0;
    // The one that the workers' loops show.
    std::function<MonoTime()> clock = CoarseNow;
  };

  explicit SharedState(Options options);

  void BeginConfiguration(const Limits& limits);
  void DropUnused();

  MemoryBudget& memory() { return memory_; }
  idempotency::KeyTable& keys() { return keys_; }
  const idempotency::StoreKeyMaker& key_maker() const { return key_maker_; }
  idempotency::DetachedCount& detached_executions() { return detached_executions_; }
  breaker::BreakerRegistry& breakers() { return breakers_; }
  breaker::ThrottleGate& throttle_gate() { return throttle_gate_; }
  rate_limit::HashSecret hash_secret() const { return hash_secret_; }

  // One for each scope that the rule named `rule` stands in. Of another algorithm it is a new one.
  std::shared_ptr<rate_limit::LimiterTable> Limiter(
      const std::string& rule, const std::string& scope,
      const rate_limit::LimiterTable::Options& options);
  // One for each upstream.
  std::shared_ptr<retry::RetryBudget> Budget(const std::string& upstream,
                                             const retry::BudgetPolicy& policy);
  // One for each route of an upstream.
  struct RouteScope {
    std::string upstream;
    std::string route;

    friend auto operator<=>(const RouteScope&, const RouteScope&) = default;
  };
  std::shared_ptr<timeout::AdaptiveLimit> TtftLimit(const RouteScope& scope,
                                                    const timeout::AdaptivePolicy& policy);
  // One for each size that is configured, so that routes of one setting share it.
  std::shared_ptr<MemoryBudget> ReplayPool(size_t limit_bytes);
  std::shared_ptr<upstream::SharedUpstreamState> Upstream(const std::string& name);
  // Of each scope with its rule's name, for the gauge.
  std::vector<std::pair<std::string, size_t>> LimiterBuckets() const;
  // Of every upstream that retries, for the gauge.
  std::map<std::string, std::shared_ptr<retry::RetryBudget>> Budgets() const;
  // Of every route that learns its limit, for the gauge.
  std::map<RouteScope, std::shared_ptr<timeout::AdaptiveLimit>> TtftLimits() const;

 private:
  MemoryBudget memory_;
  const idempotency::StoreKeyMaker key_maker_;
  idempotency::KeyTable keys_;
  idempotency::DetachedCount detached_executions_;
  breaker::BreakerRegistry breakers_;
  breaker::ThrottleGate throttle_gate_;
  const rate_limit::HashSecret hash_secret_;
  const std::function<MonoTime()> clock_;
  mutable std::mutex mutex_;  // guards the rest
  struct NamedLimiter {
    std::string rule;
    std::shared_ptr<rate_limit::LimiterTable> table;
    rate_limit::LimiterTable::Options options;
    uint64_t configuration = 0;  // whose options they are
  };
  struct NamedBudget {
    std::shared_ptr<retry::RetryBudget> budget;
    uint64_t configuration = 0;
  };
  struct NamedTtftLimit {
    std::shared_ptr<timeout::AdaptiveLimit> limit;
    uint64_t configuration = 0;
  };
  uint64_t configuration_ = 1;
  std::map<std::string, NamedLimiter> limiters_;  // by scope
  std::map<std::string, NamedBudget> budgets_;
  std::map<RouteScope, NamedTtftLimit> ttft_limits_;
  std::map<size_t, std::shared_ptr<MemoryBudget>> replay_pools_;
  std::map<std::string, std::shared_ptr<upstream::SharedUpstreamState>> upstreams_;
};

}  // namespace outrigger::chain
