// What the tests of the key table share.

#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "filters/idempotency/table.h"
#include "tests/filters/idempotency/recording_support.h"

namespace outrigger::idempotency {

inline MonoTime At(double seconds) {
  return MonoTime::FromNanos(static_cast<int64_t>(seconds * 1e9));
}

// The n-th of a sequence of keys that spread over the shards as HMAC values do.
inline StoreKey TestKey(uint64_t n) {
  StoreKey key;
  for (size_t i = 0; i < key.bytes.size(); i += 8) {
    // splitmix64
    uint64_t z = (n * 4 + i / 8 + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    std::memcpy(key.bytes.data() + i, &z, 8);
  }
  return key;
}

inline Fingerprint TestFingerprint(const std::string& target, const std::string& body) {
  Fingerprinter fingerprinter("POST", target, "text/plain");
  fingerprinter.Update(body);
  return fingerprinter.Finish();
}

class CollectingAudit final : public AuditListener {
 public:
  void OnTransition(const Event& event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  void OnIllegalTransition(const Event& event) override {
    const std::lock_guard lock(mutex_);
    illegal_.push_back(event);
  }
  std::vector<Event> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  std::vector<Event> illegal() const {
    const std::lock_guard lock(mutex_);
    return illegal_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;
  std::vector<Event> illegal_;
};

// begun = stored + released + tombstones + unknown + in flight, and the table is as full as its
// parts say.
inline bool IsConserved(const TableStats& stats) {
  return stats.begun == stats.stored + stats.released + stats.tombstones + stats.unknown +
                            stats.keys[static_cast<size_t>(State::kReserved)] +
                            stats.keys[static_cast<size_t>(State::kExecuting)];
}

inline size_t CountOf(const TableStats& stats, State state) {
  return stats.keys[static_cast<size_t>(state)];
}

}  // namespace outrigger::idempotency
