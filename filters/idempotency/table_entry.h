// One key of the key table, and how the table finds it. A key without an answer, which an unsafe
// request leaves behind (a tombstone), is this and nothing more: 96 bytes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "filters/idempotency/fingerprint.h"
#include "filters/idempotency/recording.h"
#include "filters/idempotency/state.h"
#include "filters/idempotency/store_key.h"
#include "proxy/base/pooled.h"
#include "proxy/base/time.h"
#include "proxy/http/reason.h"

namespace outrigger::idempotency {

struct TableEntry : Pooled {
  StoreKey key;
  // Set when the execution is settled, if its request had been read to the end.
  Sha256::Value digest{};
  // While RESERVED, EXECUTING or DONE.
  RefPtr<Recording> recording;
  // The next thing that time does to it; infinite while it is executed.
  MonoTime due = MonoTime::Infinite();
  // A FingerprintHead, taken apart so that nothing is lost to alignment.
  uint32_t path = 0;
  uint32_t media_type = 0;
  uint16_t unknown_status = 0;
  uint8_t method = 0;
  http::Reason unknown_reason = http::Reason::kNone;
  State state : 4 = State::kAbsent;
  http::Effects effects : 3 = http::Effects::kUnsafe;
  bool has_digest : 1 = false;

  FingerprintHead head() const { return {path, media_type, method}; }
};
static_assert(sizeof(TableEntry) <= 96, "semantics ID-7: a tombstone is 96 bytes");

// Keys are HMAC values, so any of their bytes are as good as a hash of them. Not the first byte's
// upper half: it is the same for all keys of a shard.
struct EntryHash {
  using is_transparent = void;
  size_t operator()(const StoreKey& key) const {
    size_t hash = 0;
    std::memcpy(&hash, key.bytes.data() + 8, sizeof(hash));
    return hash;
  }
  size_t operator()(const std::unique_ptr<TableEntry>& entry) const { return (*this)(entry->key); }
};

struct EntryEqual {
  using is_transparent = void;
  bool operator()(const std::unique_ptr<TableEntry>& a,
                  const std::unique_ptr<TableEntry>& b) const {
    return a->key == b->key;
  }
  bool operator()(const std::unique_ptr<TableEntry>& a, const StoreKey& b) const {
    return a->key == b;
  }
  bool operator()(const StoreKey& a, const std::unique_ptr<TableEntry>& b) const {
    return a == b->key;
  }
};

using EntrySet = absl::flat_hash_set<std::unique_ptr<TableEntry>, EntryHash, EntryEqual>;
// Ordered by time; the pointer tells apart what is due at the same time.
using Due = std::pair<MonoTime, TableEntry*>;

}  // namespace outrigger::idempotency
