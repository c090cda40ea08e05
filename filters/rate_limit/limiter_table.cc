#include "filters/rate_limit/limiter_table.h"

#include <algorithm>
#include <limits>

namespace outrigger::rate_limit {
namespace {

void LowerTo(std::atomic<int64_t>& value, int64_t candidate) {
  // Written only under the shard's mutex.
  if (candidate < value.load(std::memory_order_relaxed)) {
    value.store(candidate, std::memory_order_relaxed);
  }
}

}  // namespace

LimiterTable::LimiterTable(const Options& options, MonoTime now)
    : algorithm_(options.algorithm),
      max_buckets_(options.max_buckets),
      shared_limit_(options.algorithm, options.rate, options.burst),
      shared_{shared_limit_.Fresh(now), now},
      shared_idle_at_(now.nanos()) {
  for (size_t i = 0; i < kShards; ++i) {
    earliest_idle_[i].store(MonoTime::Infinite().nanos(), std::memory_order_relaxed);
    shards_[i] = std::make_unique<Shard>(shared_limit_, &earliest_idle_[i]);
  }
}

Decision LimiterTable::Acquire(uint64_t key, int64_t cost, MonoTime now) {
  Shard& shard = ShardOf(key);
  for (bool may_sweep = true;; may_sweep = false) {
    {
      const std::lock_guard lock(shard.mutex);
      std::optional<Decision> decision = AcquireExisting(shard, key, cost, now);
      if (decision.has_value()) return *decision;
      decision = AcquireNew(shard, key, cost, now);
      if (decision.has_value()) return *decision;
      if (!may_sweep || !AnyMayBeIdle(now)) {
        overflowed_.fetch_add(1, std::memory_order_relaxed);
        // Under the shard's mutex, lest the key get a bucket meanwhile that knows nothing of this.
        return AcquireShared(cost, now);
      }
    }
    SweepAny(now);
  }
}

Decision LimiterTable::AcquireShared(int64_t cost, MonoTime now) {
  const std::lock_guard lock(shared_mutex_);
  Decision decision = shared_limit_.Acquire(shared_.state, cost, now);
  shared_.idle_at = now + decision.reset;
  shared_idle_at_.store(shared_.idle_at.nanos(), std::memory_order_release);
  decision.receipt.shared = true;
  decision.receipt.generation = shared_.generation;
  return decision;
}

std::optional<Decision> LimiterTable::AcquireExisting(Shard& shard, uint64_t key, int64_t cost,
                                                      MonoTime now) {
  const auto found = shard.buckets.find(key);
  if (found == shard.buckets.end()) return std::nullopt;
  return Charge(shard, key, found->second, cost, now);
}

std::optional<Decision> LimiterTable::AcquireNew(Shard& shard, uint64_t key, int64_t cost,
                                                 MonoTime now) {
  if (!ReserveBucket() && !(Sweep(shard, now) && ReserveBucket())) return std::nullopt;
  Bucket bucket{.state = shard.limit.Fresh(now), .idle_at = now};
  bucket.generation = ++shard.generation;
  if (!IsSharedFull(now)) {
    // The key may have spent from the shared bucket a moment ago.
    const std::lock_guard lock(shared_mutex_);
    bucket.state = shared_.state;
  }
  Bucket& placed = shard.buckets.emplace(key, bucket).first->second;
  return Charge(shard, key, placed, cost, now);
}

Decision LimiterTable::Charge(Shard& shard, uint64_t key, Bucket& bucket, int64_t cost,
                              MonoTime now) {
  Decision decision = shard.limit.Acquire(bucket.state, cost, now);
  bucket.idle_at = now + decision.reset;
  LowerTo(*shard.earliest_idle, bucket.idle_at.nanos());
  decision.is_verified = bucket.is_verified;
  decision.receipt.key = key;
  decision.receipt.generation = bucket.generation;
  return decision;
}

void LimiterTable::SetVerified(uint64_t key) {
  Shard& shard = ShardOf(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(key);
  if (found != shard.buckets.end()) found->second.is_verified = true;
}

bool LimiterTable::ReserveBucket() {
  if (bucket_count_.fetch_add(1, std::memory_order_relaxed) <
      max_buckets_.load(std::memory_order_relaxed)) {
    return true;
  }
  bucket_count_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

bool LimiterTable::Sweep(Shard& shard, MonoTime now) {
  if (now.nanos() < shard.earliest_idle->load(std::memory_order_relaxed)) return false;
  MonoTime earliest = MonoTime::Infinite();
  const size_t removed = absl::erase_if(shard.buckets, [&](const auto& entry) {
    if (entry.second.idle_at <= now) return true;
    earliest = std::min(earliest, entry.second.idle_at);
    return false;
  });
  shard.earliest_idle->store(earliest.nanos(), std::memory_order_relaxed);
  bucket_count_.fetch_sub(removed, std::memory_order_relaxed);
  evicted_.fetch_add(removed, std::memory_order_relaxed);
  return removed > 0;
}

void LimiterTable::SweepAny(MonoTime now) {
  for (const auto& shard : shards_) {
    if (now.nanos() < shard->earliest_idle->load(std::memory_order_relaxed)) continue;
    const std::lock_guard lock(shard->mutex);
    if (Sweep(*shard, now)) return;
  }
}

bool LimiterTable::AnyMayBeIdle(MonoTime now) const {
  return std::any_of(earliest_idle_.begin(), earliest_idle_.end(), [&](const auto& earliest) {
    return earliest.load(std::memory_order_relaxed) <= now.nanos();
  });
}

void LimiterTable::Refund(const Receipt& receipt, MonoTime now) {
  if (receipt.shared) {
    const std::lock_guard lock(shared_mutex_);
    if (receipt.generation != shared_.generation) return;
    shared_limit_.Refund(shared_.state, receipt, now);
    shared_.idle_at = shared_limit_.IdleAt(shared_.state);
    shared_idle_at_.store(shared_.idle_at.nanos(), std::memory_order_release);
    return;
  }
  Shard& shard = ShardOf(receipt.key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(receipt.key);
  if (found == shard.buckets.end() || found->second.generation != receipt.generation) return;
  shard.limit.Refund(found->second.state, receipt, now);
  found->second.idle_at = shard.limit.IdleAt(found->second.state);
  LowerTo(*shard.earliest_idle, found->second.idle_at.nanos());
}

int64_t LimiterTable::Remaining(uint64_t key, MonoTime now) {
  Shard& shard = ShardOf(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(key);
  // A cost of nothing changes nothing but the point to which the level was computed.
  if (found != shard.buckets.end()) {
    return shard.limit.Acquire(found->second.state, 0, now).remaining;
  }
  if (bucket_count_.load(std::memory_order_relaxed) <
          max_buckets_.load(std::memory_order_relaxed) &&
      IsSharedFull(now)) {
    BucketState fresh = shard.limit.Fresh(now);
    return shard.limit.Acquire(fresh, 0, now).remaining;
  }
  const std::lock_guard shared_lock(shared_mutex_);
  BucketState copy = shared_.state;
  return shared_limit_.Acquire(copy, 0, now).remaining;
}

void LimiterTable::Reconfigure(const Options& options, MonoTime now) {
  const Limit next(algorithm_, options.rate, options.burst);
  max_buckets_.store(options.max_buckets, std::memory_order_relaxed);
  const auto adopt = [&](Bucket& bucket, const Limit& before) {
    next.Adopt(bucket.state, before, now);
    bucket.idle_at = next.IdleAt(bucket.state);
  };
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    int64_t earliest = MonoTime::Infinite().nanos();
    for (auto& [key, bucket] : shard->buckets) {
      adopt(bucket, shard->limit);
      bucket.generation = ++shard->generation;
      earliest = std::min(earliest, bucket.idle_at.nanos());
    }
    shard->limit = next;
    shard->earliest_idle->store(earliest, std::memory_order_relaxed);
    if (bucket_count_.load(std::memory_order_relaxed) > options.max_buckets) Sweep(*shard, now);
  }
  const std::lock_guard lock(shared_mutex_);
  adopt(shared_, shared_limit_);
  ++shared_.generation;
  shared_limit_ = next;
  shared_idle_at_.store(shared_.idle_at.nanos(), std::memory_order_release);
}

LimiterTable::Stats LimiterTable::stats() const {
  return {.buckets = bucket_count_.load(std::memory_order_relaxed),
          .evicted = evicted_.load(std::memory_order_relaxed),
          .overflowed = overflowed_.load(std::memory_order_relaxed)};
}

size_t LimiterTable::MemoryBytes() const {
  size_t bytes = sizeof(*this) + kShards * sizeof(Shard);
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard->mutex);
    // absl: one slot and one control byte for each place.
    bytes += shard->buckets.capacity() * (sizeof(decltype(shard->buckets)::value_type) + 1);
  }
  return bytes;
}

}  // namespace outrigger::rate_limit
