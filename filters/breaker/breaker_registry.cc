#include "filters/breaker/breaker_registry.h"

#include <functional>
#include <utility>

#include "fmt/format.h"

namespace outrigger::breaker {

std::string ScopeId(std::string_view upstream, std::string_view route_class) {
  return fmt::format("{}/{}", upstream, route_class);
}

BreakerRegistry::BreakerRegistry(uint64_t seed, TransitionListener listener, size_t capacity)
    : seed_(seed), listener_(std::move(listener)), capacity_(capacity) {}

std::shared_ptr<Breaker> BreakerRegistry::Get(std::string_view id, const Policy& policy,
                                              MonoTime now) {
  const std::lock_guard lock(mutex_);
  const auto found = breakers_.find(id);
  if (found != breakers_.end()) {
    found->second->SetPolicy(policy, now);
    return found->second;
  }
  if (!HasRoom()) {
    if (overflow_ == nullptr) overflow_ = Make(kOverflowId, policy, now);
    return overflow_;
  }
  return breakers_.emplace(id, Make(id, policy, now)).first->second;
}

std::shared_ptr<Breaker> BreakerRegistry::Find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = breakers_.find(id);
  if (found != breakers_.end()) return found->second;
  return id == kOverflowId ? overflow_ : nullptr;
}

std::vector<std::shared_ptr<Breaker>> BreakerRegistry::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Breaker>> list;
  list.reserve(breakers_.size() + 1);
  for (const auto& [id, breaker] : breakers_) list.push_back(breaker);
  if (overflow_ != nullptr) list.push_back(overflow_);
  return list;
}

void BreakerRegistry::DropUnused() {
  const std::lock_guard lock(mutex_);
  EraseUnused();
  if (overflow_ != nullptr && overflow_.use_count() == 1) overflow_ = nullptr;
}

bool BreakerRegistry::HasRoom() { return breakers_.size() < capacity_ || EraseUnused() > 0; }

size_t BreakerRegistry::EraseUnused() {
  // New holders come through this registry alone or copy from a holder, so a count of one stays.
  return std::erase_if(breakers_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

std::shared_ptr<Breaker> BreakerRegistry::Make(std::string_view id, const Policy& policy,
                                               MonoTime now) {
  return Breaker::Create(std::string(id), policy, seed_ ^ std::hash<std::string_view>()(id), now,
                         listener_);
}

}  // namespace outrigger::breaker
