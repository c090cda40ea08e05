// All buckets of one rule, exact for the pod: every worker asks the same table.
//
//   LimiterTable table({.algorithm = Algorithm::kTokenBucket, .rate = rate, .burst = 200}, now);
//   Decision decision = table.Acquire(hasher.Finish(), 1, now);      // a rule with a key
//   Decision decision = table.AcquireShared(1, now);                 // a rule without one
//   ...
//   table.Refund(decision.receipt, now);                             // it was not executed
//
// At most `max_buckets` keys have a bucket of their own (semantics LM-2). When all are taken, a
// newcomer replaces a bucket that is full, which loses nothing, since a fresh one would be full as
// well. When none is full, newcomers share one more bucket, the shared one, so that nobody gets a
// refill by pushing others out. A key that moves from the shared bucket to its own takes the shared
// bucket's level along for the same reason.
//
// Locks: one mutex for each of 64 shards, by key, and one for the shared bucket, which is taken
// last. No call blocks on anything else, allocates more than a shard's growth, or calls back.
// Times may differ a little between callers, see TokenBucket.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "filters/rate_limit/limit.h"
#include "proxy/base/time.h"

namespace outrigger::rate_limit {

class LimiterTable {
 public:
  struct Options {
    Algorithm algorithm = Algorithm::kTokenBucket;
    Rate rate;
    int64_t burst = 1;
    size_t max_buckets = 10'000;

    friend bool operator==(const Options&, const Options&) = default;
  };
  struct Stats {
    size_t buckets = 0;
    uint64_t evicted = 0;     // full buckets that made room, since the beginning
    uint64_t overflowed = 0;  // decisions on a key that fell to the shared bucket
  };

  LimiterTable(const Options& options, MonoTime now);
  LimiterTable(const LimiterTable&) = delete;
  LimiterTable& operator=(const LimiterTable&) = delete;

  Decision Acquire(uint64_t key, int64_t cost, MonoTime now);
  Decision AcquireShared(int64_t cost, MonoTime now);
  // Gives back what `receipt`, from a decision of this table, has paid, as far as the bound allows.
  // At most once for each receipt. Without effect when the bucket was full meanwhile and gave way
  // to another, or when the limit has changed.
  void Refund(const Receipt& receipt, MonoTime now);
  // Marks the bucket of `key`, if it has one, for as long as it is kept: decisions on it say so.
  void SetVerified(uint64_t key);
  // Nothing is spent of the shared bucket. Takes no lock.
  bool IsSharedFull(MonoTime now) const {
    return now.nanos() >= shared_idle_at_.load(std::memory_order_acquire);
  }
  // Whole tokens that `key` could spend now. Charges nothing and makes no bucket.
  int64_t Remaining(uint64_t key, MonoTime now);

  // A reload: other numbers for the same buckets. Adds no tokens to any bucket; a new key starts
  // with the new burst. Receipts given before are worth nothing. Of more buckets than are allowed
  // now, those that are full go. REQUIRES: the algorithm is the same.
  void Reconfigure(const Options& options, MonoTime now);

  Algorithm algorithm() const { return algorithm_; }
  Stats stats() const;
  // Bytes that the buckets occupy.
  size_t MemoryBytes() const;

 private:
  static constexpr size_t kShards = 64;

  struct Bucket {
    BucketState state;
    MonoTime idle_at;  // full from here on unless charged again
    uint32_t generation = 0;
    bool is_verified = false;
  };
  struct alignas(64) Shard {
    Shard(const Limit& of, std::atomic<int64_t>* earliest) : limit(of), earliest_idle(earliest) {}

    mutable std::mutex mutex;
    Limit limit;
    uint32_t generation = 0;  // of the latest bucket
    absl::flat_hash_map<uint64_t, Bucket> buckets;
    std::atomic<int64_t>* const earliest_idle;  // the shard's entry of earliest_idle_
  };
  static_assert(sizeof(std::pair<uint64_t, Bucket>) <= 64, "semantics LM-2");

  Shard& ShardOf(uint64_t key) { return *shards_[key >> 58]; }
  // REQUIRES: the shard's mutex is held.
  std::optional<Decision> AcquireExisting(Shard& shard, uint64_t key, int64_t cost, MonoTime now);
  std::optional<Decision> AcquireNew(Shard& shard, uint64_t key, int64_t cost, MonoTime now);
  static Decision Charge(Shard& shard, uint64_t key, Bucket& bucket, int64_t cost, MonoTime now);
  bool ReserveBucket();
  bool Sweep(Shard& shard, MonoTime now);
  bool AnyMayBeIdle(MonoTime now) const;
  // Frees the full buckets of one shard that has any. REQUIRES: no shard's mutex is held.
  void SweepAny(MonoTime now);

  const Algorithm algorithm_;
  std::atomic<size_t> max_buckets_;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
  // For each shard a time before which none of its buckets becomes full. Written under the shard's
  // mutex; read without, side by side, to find a shard worth sweeping.
  std::array<std::atomic<int64_t>, kShards> earliest_idle_;
  std::atomic<size_t> bucket_count_{0};
  std::atomic<uint64_t> evicted_{0};
  std::atomic<uint64_t> overflowed_{0};

  mutable std::mutex shared_mutex_;
  Limit shared_limit_;  // guarded by shared_mutex_
  Bucket shared_;       // guarded by shared_mutex_
  // Copy of shared_.idle_at, so that a new bucket need not lock while nothing overflows.
  std::atomic<int64_t> shared_idle_at_;
};

}  // namespace outrigger::rate_limit
