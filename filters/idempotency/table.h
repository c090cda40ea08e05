// The keys of the pod: who executes, who may join, what is replayed, what is refused (semantics
// ID-3, ID-5, ID-6, ID-7). One table for all workers.
//
//   BeginResult begin = table.Begin({store_key, fingerprinter.head(), effects, policy, deadline},
//   now); switch (begin.kind) {
//     kNew: execute with begin.reservation; read with begin.reader
//     kJoin, kReplay: read with begin.reader; reader->Compare() decides on the body
//     ...
//   }
//
// *Room.* At most `max_keys` keys and `max_bodies_bytes` of recordings. When room is wanted, first
// what has expired goes, then the oldest answers: of `none` and `keyed` requests together with
// their key, of `unsafe` ones only the body, which leaves a tombstone. A key that is executing, a
// tombstone and an unknown outcome stay until their time is over. When the memory budget is short,
// the oldest answers of `none` and `keyed` requests go as well, before a new one is given up, and
// those of `unsafe` ones before requests are refused (LM-8).
//
// *Time.* Each Begin() expires a few entries that are due in its shard; Sweep() does the same from
// a timer. There is no scan of the table on a request.
//
// Threads: all calls from any thread. A key belongs to one of 16 shards, each with a mutex; at most
// one of them is held at a time, and recordings are entered from under it, never the other way.
// The audit listener is called with a shard's mutex held. The table must outlive its reservations
// and every recording; it checks in its destructor that none is left that counts against it.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "filters/idempotency/fingerprint.h"
#include "filters/idempotency/policy.h"
#include "filters/idempotency/recording.h"
#include "filters/idempotency/recording_reader.h"
#include "filters/idempotency/reservation.h"
#include "filters/idempotency/state.h"
#include "filters/idempotency/store_key.h"
#include "filters/idempotency/table_entry.h"
#include "proxy/base/memory_budget.h"
#include "proxy/base/time.h"

namespace outrigger::idempotency {

// Each change of a key's state, in the order in which it happened to that key. Called with a lock
// held: hand the event over and return; do not call the table.
class AuditListener {
 public:
  struct Event {
    uint64_t key_prefix = 0;  // FormatHash() makes it the text that logs show
    State from = State::kAbsent;
    State to = State::kAbsent;
    Cause cause = Cause::kBegun;
    http::Effects effects = http::Effects::kUnsafe;
  };
  virtual void OnTransition(const Event& event) = 0;
  // The step was refused.
  virtual void OnIllegalTransition(const Event& event) = 0;

 protected:
  ~AuditListener() = default;
};

struct BeginRequest {
  const StoreKey& key;
  const FingerprintHead& head;
  http::Effects effects = http::Effects::kUnsafe;
  const IdempotencyPolicy& policy;
  MonoTime deadline;  // of this caller
};

struct BeginResult {
  enum class Kind : uint8_t {
    kNew,             // reservation, reader
    kJoin,            // reader on a running execution
    kReplay,          // reader on a complete recording
    kMismatch,        // 422 naming `part`: the heads differ already
    kInFlight,        // 409: in_flight is reject, or the answer has become too big to join
    kTooManyWaiters,  // 409
    kUnknown,         // `unknown`, once Compare() finds no difference
    kTombstone,       // 409, once Compare() finds no difference
    kFull,            // `bypass` or 503
  };

  Kind kind = Kind::kFull;
  Reservation reservation;
  std::unique_ptr<RecordingReader> reader;
  UnknownAnswer unknown;
  RequestPart part = RequestPart::kBody;
  // Of kUnknown and kTombstone; nothing when the request was never read to its end.
  std::optional<Fingerprint> stored_fingerprint;
  // kReplay, kUnknown, kTombstone: when this answer will have been forgotten.
  MonoTime expires_at = MonoTime::Infinite();
  // kFull: execute without a record. Always so for `none` and `keyed`, which may run twice.
  bool bypass = false;

  // Of kUnknown and kTombstone: the part in which `fingerprint` differs from the request whose
  // outcome this is.
  std::optional<RequestPart> FindDifferenceFrom(const Fingerprint& fingerprint) const;
};

struct TableStats {
  // Keys now, by state (kAbsent: 0).
  std::array<size_t, kStates> keys{};
  size_t body_bytes = 0;
  // Since the start. Each key that was begun is counted once more when its execution is settled:
  // begun = stored + released + tombstones + unknown + keys[kReserved] + keys[kExecuting].
  uint64_t begun = 0;
  uint64_t stored = 0;
  uint64_t released = 0;
  uint64_t tombstones = 0;
  uint64_t unknown = 0;
  // What became of stored answers later, and of keys.
  uint64_t evicted = 0;
  uint64_t expired = 0;
  uint64_t erased = 0;
  uint64_t illegal = 0;
  // Steps of an execution whose key had been erased.
  uint64_t orphaned = 0;
};

class KeyTable final : private RecordingQuota {
 public:
  struct Options {
    TableLimits limits;
    MemoryBudget* budget = nullptr;               // REQUIRES: set
    AuditListener* audit = nullptr;               // may be null
    std::function<MonoTime()> clock = CoarseNow;  // for reservations that are dropped unsettled
  };

  explicit KeyTable(Options options);
  ~KeyTable();
  KeyTable(const KeyTable&) = delete;
  KeyTable& operator=(const KeyTable&) = delete;

  BeginResult Begin(const BeginRequest& request, MonoTime now);
  // A reload. What is kept beyond the new limits goes at once, as far as it may.
  void SetLimits(const TableLimits& limits);
  // Expires at most `max` entries that are due; says how many. Call again soon while it gives
  // `max`. While the memory budget is short, kept answers go too.
  size_t Sweep(MonoTime now, size_t max);
  // Forgets all keys with that prefix, whatever their state; says how many. An execution under way
  // goes on without its key.
  size_t Erase(uint64_t key_prefix);
  TableStats Stats() const;

  // Bytes of one key without an answer, with its share of the table's own memory left out.
  static constexpr size_t kEntryBytes = sizeof(TableEntry);

 private:
  friend class Reservation;

  static constexpr size_t kShards = 16;

  struct Step {
    State to;
    Cause cause;
    MonoTime now = {};
    absl::Duration key_ttl = {};
    absl::Duration response_ttl = {};
    UnknownAnswer answer = {};
  };

  struct alignas(64) Shard {
    mutable std::mutex mutex;
    EntrySet entries;
    absl::btree_set<Due> due;
    // DONE entries, oldest first: those whose key may be forgotten, and those that must not.
    IntrusiveList<StoredRecording> releasable;
    IntrusiveList<StoredRecording> unsafe;
    // Readable without the mutex, as a hint where to look: the first of each list's time.
    std::atomic<int64_t> next_due{MonoTime::Infinite().nanos()};
    std::atomic<int64_t> oldest_releasable{MonoTime::Infinite().nanos()};
    std::atomic<int64_t> oldest_unsafe{MonoTime::Infinite().nanos()};
    TableStats stats;
  };

  bool TryReserve(size_t bytes) override;
  void Release(size_t bytes) override;
  bool GiveUpOldest() override { return EvictOldest(/*releasable_only=*/true); }

  // For reservations: takes `step` if the key still belongs to `recording` and the step is legal.
  bool Apply(const StoreKey& key, const Recording& recording, const Step& step);
  void CountIllegal() { illegal_.fetch_add(1, std::memory_order_relaxed); }
  MonoTime Now() const { return clock_(); }

  Shard& ShardOf(uint64_t prefix) { return shards_[prefix >> 60]; }
  bool TryTakeKey();
  bool MakeRoomForKey(MonoTime now);
  bool EvictOldest(bool releasable_only);
  void RelieveBudget();

  // With the shard's mutex held.
  BeginResult Insert(Shard& shard, const BeginRequest& request);
  BeginResult Meet(TableEntry& entry, const BeginRequest& request);
  size_t ExpireDue(Shard& shard, MonoTime now, size_t max);
  void Expire(Shard& shard, TableEntry& entry, MonoTime now);
  void Evict(Shard& shard, TableEntry& entry);
  bool Move(Shard& shard, TableEntry& entry, const Step& step);
  void Count(Shard& shard, const TableEntry& entry, const Step& step);
  void SetDue(Shard& shard, TableEntry& entry, MonoTime when);
  void ClearDue(Shard& shard, TableEntry& entry);
  void Keep(Shard& shard, TableEntry& entry, const Step& step);
  void GiveUp(Shard& shard, TableEntry& entry);
  void Remove(Shard& shard, TableEntry& entry);
  static void RefreshHints(Shard& shard);

  std::atomic<size_t> max_keys_;
  std::atomic<size_t> max_bodies_bytes_;
  MemoryBudget& budget_;
  AuditListener* const audit_;
  const std::function<MonoTime()> clock_;
  std::atomic<size_t> keys_{0};
  std::atomic<size_t> body_bytes_{0};
  std::atomic<uint64_t> illegal_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace outrigger::idempotency
