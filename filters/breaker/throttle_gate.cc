#include "filters/breaker/throttle_gate.h"

#include <algorithm>

namespace outrigger::breaker {

absl::Duration ThrottleGate::Wait(uint64_t scope, MonoTime now) {
  if (held_count_.load(std::memory_order_acquire) == 0) return absl::ZeroDuration();
  const std::lock_guard lock(mutex_);
  const auto found = held_until_.find(scope);
  if (found == held_until_.end()) return absl::ZeroDuration();
  if (found->second > now) return found->second - now;
  held_until_.erase(found);
  held_count_.store(held_until_.size(), std::memory_order_release);
  return absl::ZeroDuration();
}

void ThrottleGate::Hold(uint64_t scope, absl::Duration retry_after, MonoTime now) {
  if (retry_after <= absl::ZeroDuration()) return;
  const MonoTime until = now + std::min(retry_after, MaxHold());
  const std::lock_guard lock(mutex_);
  const auto found = held_until_.find(scope);
  if (found != held_until_.end()) {
    found->second = std::max(found->second, until);
    return;
  }
  if (held_until_.size() >= capacity_ && now >= earliest_) {
    earliest_ = MonoTime::Infinite();
    absl::erase_if(held_until_, [&](const auto& entry) {
      if (entry.second <= now) return true;
      earliest_ = std::min(earliest_, entry.second);
      return false;
    });
  }
  if (held_until_.size() < capacity_) {
    held_until_.emplace(scope, until);
    earliest_ = std::min(earliest_, until);
  }
  held_count_.store(held_until_.size(), std::memory_order_release);
}

}  // namespace outrigger::breaker
