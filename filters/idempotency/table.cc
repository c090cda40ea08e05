#include "filters/idempotency/table.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace outrigger::idempotency {
namespace {

// How many entries that are due a request expires in passing: more than one, so that the table
// shrinks even when every request brings a new key.
constexpr size_t kExpiredPerRequest = 2;
constexpr size_t kExpiredPerShardWhenFull = 8;
constexpr int kRelievedPerSweep = 100;

bool IsInFlight(State state) { return state == State::kReserved || state == State::kExecuting; }

}  // namespace

std::optional<RequestPart> BeginResult::FindDifferenceFrom(const Fingerprint& fingerprint) const {
  // Nothing to compare with but the heads, and those were equal or this were a kMismatch.
  if (!stored_fingerprint.has_value()) return std::nullopt;
  return FindDifference(*stored_fingerprint, fingerprint);
}

namespace {

// All of the recording that `stored` is in, and its entry.
void Prefetch(const StoredRecording& stored) {
  const char* const begin = reinterpret_cast<const char*>(&stored);
  for (size_t at = 0; at < sizeof(Recording); at += 64) __builtin_prefetch(begin + at);
  __builtin_prefetch(stored.entry);
}

}  // namespace

KeyTable::KeyTable(Options options)
    : max_keys_(options.limits.max_keys),
      max_bodies_bytes_(options.limits.max_bodies_bytes),
      budget_(*options.budget),
      audit_(options.audit),
      clock_(std::move(options.clock)) {}

KeyTable::~KeyTable() {
  for (Shard& shard : shards_) {
    budget_.Release(shard.entries.size() * kEntryBytes);
    shard.entries.clear();
  }
  if (body_bytes_.load() != 0) {
    std::fprintf(stderr, "idempotency: a recording outlives the key table\n");
    std::abort();
  }
}

BeginResult KeyTable::Begin(const BeginRequest& request, MonoTime now) {
  Shard& shard = ShardOf(request.key.prefix());
  // Room made by one caller may be taken by another; nobody tries for ever.
  for (int attempt = 0; attempt < 3; ++attempt) {
    {
      const std::lock_guard lock(shard.mutex);
      ExpireDue(shard, now, kExpiredPerRequest);
      auto found = shard.entries.find(request.key);
      if (found != shard.entries.end() && (*found)->due <= now) {
        Expire(shard, **found, now);
        found = shard.entries.find(request.key);
      }
      if (found != shard.entries.end()) return Meet(**found, request);
      if (TryTakeKey()) return Insert(shard, request);
    }
    if (!MakeRoomForKey(now)) break;
  }
  BeginResult result;
  result.kind = BeginResult::Kind::kFull;
  result.bypass =
      request.effects != http::Effects::kUnsafe || request.policy.on_full == OnFull::kBypass;
  return result;
}

BeginResult KeyTable::Insert(Shard& shard, const BeginRequest& request) {
  RecordingLimits limits;
  limits.max_body_bytes = request.policy.max_body_bytes;
  limits.window_bytes = request.policy.window_bytes;
  limits.max_readers = std::max<size_t>(request.policy.max_waiters, 1);  // the first caller
  RefPtr<Recording> recording =
      MakeRef<Recording>(limits, budget_, static_cast<RecordingQuota&>(*this));

  auto owned = std::make_unique<TableEntry>();
  TableEntry& entry = *owned;
  entry.key = request.key;
  entry.recording = recording;
  entry.path = request.head.path;
  entry.media_type = request.head.media_type;
  entry.method = request.head.method;
  entry.effects = request.effects;
  shard.entries.insert(std::move(owned));
  budget_.Charge(kEntryBytes);
  ++shard.stats.begun;
  Move(shard, entry, {State::kReserved, Cause::kBegun});

  BeginResult result;
  result.kind = BeginResult::Kind::kNew;
  JoinRefusal refusal;
  result.reader = recording->AddReader(request.deadline, &refusal);
  result.reservation =
      Reservation(*this, request.key, request.effects, std::move(recording), request.policy);
  return result;
}

BeginResult KeyTable::Meet(TableEntry& entry, const BeginRequest& request) {
  using Kind = BeginResult::Kind;
  BeginResult result;
  const std::optional<RequestPart> part = FindDifference(entry.head(), request.head);
  if (part.has_value()) {
    result.kind = Kind::kMismatch;
    result.part = *part;
    return result;
  }
  switch (entry.state) {
    case State::kReserved:
    case State::kExecuting: {
      result.kind = Kind::kInFlight;
      if (request.policy.in_flight == InFlight::kReject) return result;
      JoinRefusal refusal;
      result.reader = entry.recording->AddReader(request.deadline, &refusal);
      if (result.reader != nullptr) result.kind = Kind::kJoin;
      if (refusal == JoinRefusal::kTooManyReaders) result.kind = Kind::kTooManyWaiters;
      return result;
    }
    case State::kDone: {
      result.kind = Kind::kReplay;
      result.expires_at = entry.due;
      JoinRefusal refusal;
      // Never refused: a complete recording in the table has not overflowed.
      result.reader = entry.recording->AddReader(request.deadline, &refusal);
      return result;
    }
    case State::kTombstone:
    case State::kUnknown:
      result.kind = entry.state == State::kUnknown ? Kind::kUnknown : Kind::kTombstone;
      result.unknown = {entry.unknown_status, entry.unknown_reason};
      result.expires_at = entry.due;
      if (entry.has_digest) result.stored_fingerprint = Fingerprint{entry.digest, entry.head()};
      return result;
    case State::kAbsent:
      break;  // never in the table
  }
  return result;
}

size_t KeyTable::Sweep(MonoTime now, size_t max) {
  size_t expired = 0;
  for (Shard& shard : shards_) {
    if (expired == max) break;
    if (shard.next_due.load(std::memory_order_relaxed) > now.nanos()) continue;
    const std::lock_guard lock(shard.mutex);
    expired += ExpireDue(shard, now, max - expired);
  }
  RelieveBudget();
  return expired;
}

size_t KeyTable::Erase(uint64_t key_prefix) {
  Shard& shard = ShardOf(key_prefix);
  const std::lock_guard lock(shard.mutex);
  std::vector<TableEntry*> matching;
  for (const std::unique_ptr<TableEntry>& entry : shard.entries) {
    if (entry->key.prefix() == key_prefix) matching.push_back(entry.get());
  }
  for (TableEntry* entry : matching) {
    ++shard.stats.erased;
    Move(shard, *entry, {State::kAbsent, Cause::kErased});
  }
  return matching.size();
}

TableStats KeyTable::Stats() const {
  TableStats sum;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    const TableStats& stats = shard.stats;
    for (int i = 0; i < kStates; ++i) sum.keys[i] += stats.keys[i];
    sum.begun += stats.begun;
    sum.stored += stats.stored;
    sum.released += stats.released;
    sum.tombstones += stats.tombstones;
    sum.unknown += stats.unknown;
    sum.evicted += stats.evicted;
    sum.expired += stats.expired;
    sum.erased += stats.erased;
    sum.illegal += stats.illegal;
    sum.orphaned += stats.orphaned;
  }
  sum.illegal += illegal_.load(std::memory_order_relaxed);
  sum.body_bytes = body_bytes_.load(std::memory_order_relaxed);
  return sum;
}

void KeyTable::SetLimits(const TableLimits& limits) {
  max_keys_.store(limits.max_keys, std::memory_order_relaxed);
  max_bodies_bytes_.store(limits.max_bodies_bytes, std::memory_order_relaxed);
  while (keys_.load(std::memory_order_relaxed) > limits.max_keys &&
         EvictOldest(/*releasable_only=*/true)) {
  }
  while (body_bytes_.load(std::memory_order_relaxed) > limits.max_bodies_bytes &&
         EvictOldest(/*releasable_only=*/false)) {
  }
}

bool KeyTable::TryReserve(size_t bytes) {
  const size_t max_bytes = max_bodies_bytes_.load(std::memory_order_relaxed);
  if (bytes > max_bytes) return false;
  size_t used = body_bytes_.load(std::memory_order_relaxed);
  for (;;) {
    if (used + bytes <= max_bytes) {
      if (body_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed)) {
        return true;
      }
      continue;
    }
    if (!EvictOldest(/*releasable_only=*/false)) return false;
    used = body_bytes_.load(std::memory_order_relaxed);
  }
}

void KeyTable::Release(size_t bytes) { body_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

bool KeyTable::TryTakeKey() {
  size_t used = keys_.load(std::memory_order_relaxed);
  const size_t max_keys = max_keys_.load(std::memory_order_relaxed);
  while (used < max_keys) {
    if (keys_.compare_exchange_weak(used, used + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

bool KeyTable::MakeRoomForKey(MonoTime now) {
  for (Shard& shard : shards_) {
    if (shard.next_due.load(std::memory_order_relaxed) > now.nanos()) continue;
    const std::lock_guard lock(shard.mutex);
    ExpireDue(shard, now, kExpiredPerShardWhenFull);
  }
  if (keys_.load(std::memory_order_relaxed) < max_keys_.load(std::memory_order_relaxed)) {
    return true;
  }
  return EvictOldest(/*releasable_only=*/true);
}

// Evicts the oldest answer of the whole table. No mutex is held, so another worker may take it
// first; the hints are then different at the next look.
bool KeyTable::EvictOldest(bool releasable_only) {
  for (size_t look = 0; look < 2 * kShards; ++look) {
    Shard* oldest_shard = nullptr;
    IntrusiveList<StoredRecording> Shard::*list = &Shard::releasable;
    int64_t oldest = MonoTime::Infinite().nanos();
    for (Shard& shard : shards_) {
      const int64_t releasable = shard.oldest_releasable.load(std::memory_order_relaxed);
      if (releasable < oldest) {
        oldest = releasable;
        oldest_shard = &shard;
        list = &Shard::releasable;
      }
      const int64_t unsafe = shard.oldest_unsafe.load(std::memory_order_relaxed);
      if (!releasable_only && unsafe < oldest) {
        oldest = unsafe;
        oldest_shard = &shard;
        list = &Shard::unsafe;
      }
    }
    if (oldest_shard == nullptr) return false;
    const std::lock_guard lock(oldest_shard->mutex);
    if ((oldest_shard->*list).empty()) continue;
    Evict(*oldest_shard, *(oldest_shard->*list).front().entry);
    // Nothing has touched the next one for a long time; it goes soon.
    if (!(oldest_shard->*list).empty()) Prefetch((oldest_shard->*list).front());
    return true;
  }
  return false;
}

void KeyTable::RelieveBudget() {
  for (int i = 0; i < kRelievedPerSweep && budget_.refuses_buffering(); ++i) {
    if (EvictOldest(/*releasable_only=*/true)) continue;
    // What must not run twice keeps its answer as long as that costs nobody else theirs.
    if (!budget_.refuses_requests() || !EvictOldest(/*releasable_only=*/false)) return;
  }
}

void KeyTable::Evict(Shard& shard, TableEntry& entry) {
  ++shard.stats.evicted;
  const bool unsafe = entry.effects == http::Effects::kUnsafe;
  Move(shard, entry, {unsafe ? State::kTombstone : State::kAbsent, Cause::kEvicted});
}

size_t KeyTable::ExpireDue(Shard& shard, MonoTime now, size_t max) {
  size_t expired = 0;
  while (expired < max && !shard.due.empty() && shard.due.begin()->first <= now) {
    Expire(shard, *shard.due.begin()->second, now);
    ++expired;
  }
  return expired;
}

void KeyTable::Expire(Shard& shard, TableEntry& entry, MonoTime now) {
  ++shard.stats.expired;
  const bool only_body = entry.state == State::kDone && entry.effects == http::Effects::kUnsafe &&
                         entry.recording->stored().key_expires_at > now;
  Move(shard, entry, {only_body ? State::kTombstone : State::kAbsent, Cause::kExpired});
}

bool KeyTable::Apply(const StoreKey& key, const Recording& recording, const Step& step) {
  Shard& shard = ShardOf(key.prefix());
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.entries.find(key);
  // Erased by the admin, and perhaps begun anew by somebody else since.
  if (found == shard.entries.end() || (*found)->recording.get() != &recording) {
    ++shard.stats.orphaned;
    return false;
  }
  return Move(shard, **found, step);
}

// The only place where a state changes.
bool KeyTable::Move(Shard& shard, TableEntry& entry, const Step& step) {
  const State from = entry.state;
  const bool legal = IsLegal(from, step.to, entry.effects);
  if (audit_ != nullptr) {
    const AuditListener::Event event{entry.key.prefix(), from, step.to, step.cause, entry.effects};
    legal ? audit_->OnTransition(event) : audit_->OnIllegalTransition(event);
  }
  if (!legal) {
    ++shard.stats.illegal;
    return false;
  }
  Count(shard, entry, step);
  entry.state = step.to;
  switch (step.to) {
    case State::kReserved:
    case State::kExecuting:
      return true;
    case State::kDone:
      Keep(shard, entry, step);
      break;
    case State::kTombstone:
    case State::kUnknown: {
      const MonoTime expires =
          from == State::kDone ? entry.recording->stored().key_expires_at : step.now + step.key_ttl;
      entry.unknown_status = static_cast<uint16_t>(step.answer.status);
      entry.unknown_reason = step.answer.reason;
      GiveUp(shard, entry);
      SetDue(shard, entry, expires);
      break;
    }
    case State::kAbsent:
      GiveUp(shard, entry);
      Remove(shard, entry);
      break;
  }
  RefreshHints(shard);
  return true;
}

void KeyTable::Count(Shard& shard, const TableEntry& entry, const Step& step) {
  TableStats& stats = shard.stats;
  if (entry.state != State::kAbsent) --stats.keys[static_cast<size_t>(entry.state)];
  if (step.to != State::kAbsent) ++stats.keys[static_cast<size_t>(step.to)];
  if (!IsInFlight(entry.state) || IsInFlight(step.to)) return;
  stats.stored += step.to == State::kDone;
  stats.released += step.to == State::kAbsent;
  stats.tombstones += step.to == State::kTombstone;
  stats.unknown += step.to == State::kUnknown;
}

void KeyTable::Keep(Shard& shard, TableEntry& entry, const Step& step) {
  StoredRecording& stored = entry.recording->stored();
  stored.entry = &entry;
  stored.completed_at = step.now;
  stored.key_expires_at = step.now + step.key_ttl;
  const bool unsafe = entry.effects == http::Effects::kUnsafe;
  (unsafe ? shard.unsafe : shard.releasable).PushBack(stored);
  SetDue(shard, entry, step.now + std::min(step.key_ttl, step.response_ttl));
}

// The recording leaves the table; who reads it may go on.
void KeyTable::GiveUp(Shard& shard, TableEntry& entry) {
  ClearDue(shard, entry);
  if (!entry.recording) return;
  entry.recording->stored().Unlink();
  const std::optional<Fingerprint> fingerprint = entry.recording->fingerprint();
  if (fingerprint.has_value()) {
    entry.digest = fingerprint->digest;
    entry.has_digest = true;
  }
  entry.recording->ReleaseQuota();
  entry.recording.Reset();
}

void KeyTable::SetDue(Shard& shard, TableEntry& entry, MonoTime when) {
  ClearDue(shard, entry);
  entry.due = when;
  shard.due.insert({when, &entry});
}

void KeyTable::ClearDue(Shard& shard, TableEntry& entry) {
  if (entry.due.is_infinite()) return;
  shard.due.erase({entry.due, &entry});
  entry.due = MonoTime::Infinite();
}

void KeyTable::Remove(Shard& shard, TableEntry& entry) {
  shard.entries.erase(shard.entries.find(entry.key));
  keys_.fetch_sub(1, std::memory_order_relaxed);
  budget_.Release(kEntryBytes);
}

void KeyTable::RefreshHints(Shard& shard) {
  const auto first = [](IntrusiveList<StoredRecording>& list) {
    return list.empty() ? MonoTime::Infinite().nanos() : list.front().completed_at.nanos();
  };
  shard.oldest_releasable.store(first(shard.releasable), std::memory_order_relaxed);
  shard.oldest_unsafe.store(first(shard.unsafe), std::memory_order_relaxed);
  const MonoTime due = shard.due.empty() ? MonoTime::Infinite() : shard.due.begin()->first;
  shard.next_due.store(due.nanos(), std::memory_order_relaxed);
}

}  // namespace outrigger::idempotency
