// Keeps label values that come from requests from becoming a memory leak (OB-6).
//
//   LabelInterner tenants(1000);                       // one for each label, shared by all workers
//   LabelCache cache(tenants);                         // one for each worker
//   LabelId tenant = cache.Intern(request_tenant);     // the first 1,000 distinct values, then
//   other if (tenant == LabelId::kOther) metrics.Increment(folded);
//
// All workers fold the same values, since the table is one for the process. Values are made
// printable ASCII of at most 128 bytes, because whoever sends a request chooses their bytes; two
// values that differ only in what was replaced or cut are one. Nothing is ever forgotten.
//
// LabelInterner is thread-safe (a mutex); LabelCache belongs to one worker and takes that mutex
// only for a value that this worker has not seen, and never again once the table is full.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace outrigger::metrics {

// Dense: usable as an index into a table of series.
enum class LabelId : uint32_t { kOther = 0 };

class LabelInterner {
 public:
  static constexpr std::string_view kOtherText = "other";
  static constexpr size_t kMaxValueBytes = 128;

  explicit LabelInterner(size_t max_values) : max_values_(max_values) {}
  LabelInterner(const LabelInterner&) = delete;
  LabelInterner& operator=(const LabelInterner&) = delete;

  // kOther when the table is full and does not have the value.
  LabelId Intern(std::string_view value);
  // The value as it should be shown. Valid as long as the interner.
  std::string_view Text(LabelId id) const;
  size_t size() const;
  bool is_full() const { return is_full_.load(std::memory_order_acquire); }

 private:
  friend class LabelCache;
  using Map = absl::flat_hash_map<std::string, LabelId>;

  LabelId InternClean(std::string_view clean);
  Map Copy() const;

  const size_t max_values_;
  mutable std::mutex mutex_;
  Map ids_;
  std::deque<std::string> texts_;  // LabelId n is element n - 1
  std::atomic<bool> is_full_{false};
};

class LabelCache {
 public:
  explicit LabelCache(LabelInterner& interner) : interner_(interner) {}

  LabelId Intern(std::string_view value);

 private:
  LabelInterner& interner_;
  LabelInterner::Map ids_;
  bool is_complete_ = false;  // holds all that the full table holds
};

}  // namespace outrigger::metrics
