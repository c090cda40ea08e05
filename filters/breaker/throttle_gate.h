// Holds a scope (tenant × route × model) back for as long as the app asked it to (BR-5): after a
// 429 with Retry-After, further requests of that scope are answered 429 `throttled` at once instead
// of being carried to an app that refuses them. Other scopes are not touched, and no breaker is.
//
//   absl::Duration wait = gate.Wait(scope, now);      // above zero: refuse, ask to come back then
//   ...
//   gate.Hold(scope, retry_after, now);               // the app answered 429
//
// A scope is named by a keyed 64-bit hash of its parts. At most 30 s are held, however long was
// asked. Bounded: when `capacity` scopes are held, a further one is not, and its requests go on to
// the app, which refuses them itself.
//
// Thread-safe: one mutex, not taken by Wait() while nothing is held.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "proxy/base/time.h"

namespace outrigger::breaker {

class ThrottleGate {
 public:
  static constexpr size_t kDefaultCapacity = 10'000;
  static constexpr absl::Duration MaxHold() { return absl::Seconds(30); }

  explicit ThrottleGate(size_t capacity = kDefaultCapacity) : capacity_(capacity) {}

  // Zero when the scope may pass.
  absl::Duration Wait(uint64_t scope, MonoTime now);
  // Extends what is held already, never shortens it: the answers come from concurrent requests.
  void Hold(uint64_t scope, absl::Duration retry_after, MonoTime now);
  size_t size() const { return held_count_.load(std::memory_order_relaxed); }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  absl::flat_hash_map<uint64_t, MonoTime> held_until_;  // guarded by mutex_
  MonoTime earliest_ = MonoTime::Infinite();  // guarded by mutex_; no scope is released before
  std::atomic<size_t> held_count_{0};
};

}  // namespace outrigger::breaker
