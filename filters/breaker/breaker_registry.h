// All breakers of the process, by id. They outlive configurations: a reload asks for the same ids
// again and finds the breakers as they are (trap F.27).
//
//   std::shared_ptr<Breaker> breaker = registry.Get(ScopeId("app", "chat"), policy, now);
//   registry.Find("app/chat")->SetOverride(Override::kForcedOpen, now);   // POST
//   /breakers/{id}:open
//
// Bounded (BR-7): when 256 exist and all are in use, further ids share one more, named "overflow",
// which keeps the policy of the one that came first. A breaker that nobody but the registry holds
// gives way.
//
// Thread-safe. Meant for loading configuration and for the admin side; a request uses the pointer
// that its filter got at load.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "filters/breaker/breaker.h"

namespace outrigger::breaker {

// UPSTREAM/ROUTE_CLASS, the name of a scope in metrics and in the admin address.
std::string ScopeId(std::string_view upstream, std::string_view route_class);

class BreakerRegistry {
 public:
  static constexpr size_t kDefaultCapacity = 256;
  static constexpr std::string_view kOverflowId = "overflow";

  // `seed` makes the jitter of all breakers repeatable.
  explicit BreakerRegistry(uint64_t seed, TransitionListener listener = nullptr,
                           size_t capacity = kDefaultCapacity);

  // Makes the breaker or, if it exists, gives it this policy. Never null.
  std::shared_ptr<Breaker> Get(std::string_view id, const Policy& policy, MonoTime now);
  // Null when there is none.
  std::shared_ptr<Breaker> Find(std::string_view id) const;
  // Forgets the breakers that nobody but the registry holds: their routes are gone.
  void DropUnused();
  // In the order of their ids, the shared one last.
  std::vector<std::shared_ptr<Breaker>> List() const;

 private:
  // Makes room by dropping what is not used. REQUIRES: mutex_ is held.
  bool HasRoom();
  // How many. REQUIRES: mutex_ is held.
  size_t EraseUnused();
  std::shared_ptr<Breaker> Make(std::string_view id, const Policy& policy, MonoTime now);

  const uint64_t seed_;
  const TransitionListener listener_;
  const size_t capacity_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Breaker>, std::less<>> breakers_;  // guarded by mutex_
  std::shared_ptr<Breaker> overflow_;                                      // guarded by mutex_
};

}  // namespace outrigger::breaker
