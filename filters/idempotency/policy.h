// What a route's idempotency filter is told to do: the keys of `filters: idempotency:` in the
// configuration, with their defaults (semantics D). Immutable once loaded; all workers read it.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "filters/idempotency/canonical_json.h"

namespace outrigger::idempotency {

// What a request meets whose key is already being executed (ID-3).
enum class InFlight {
  kJoin,    // gets the same bytes as they come
  kReject,  // 409 at once
  kWait,    // gets them if they begin within `in_flight_wait`, else 409
};

enum class Scope {
  kTenant,     // each tenant has its own keys
  kAnonymous,  // all callers share one space of keys
};

enum class OnFull { kReject, kBypass };
enum class OnOwnerDisconnect { kFinish, kCancel };
enum class ReplayPace { kBurst, kOriginal };

struct IdempotencyPolicy {
  std::vector<std::string> key_headers = {"Idempotency-Key"};
  // At most key.h's kMaxKeyBytes.
  size_t max_key_bytes = 255;
  bool required = false;
  InFlight in_flight = InFlight::kJoin;
  absl::Duration in_flight_wait = absl::Seconds(5);
  Scope scope = Scope::kTenant;
  // How JSON bodies are compared; null: byte by byte, as all others (ID-2).
  std::shared_ptr<const JsonRules> json;
  // Both count from completion.
  absl::Duration key_ttl = absl::Hours(1);
  absl::Duration response_ttl = absl::Hours(1);
  size_t max_body_bytes = size_t{2} << 20;
  ReplayPace replay_pace = ReplayPace::kBurst;  // of streams
  OnFull on_full = OnFull::kReject;
  OnOwnerDisconnect on_owner_disconnect = OnOwnerDisconnect::kFinish;
  // ID-12. Waiters are readers of one running execution, its first caller included.
  size_t max_waiters = 1000;
  size_t max_detached = 8;
  absl::Duration detached_timeout = absl::Seconds(120);
  // How far the writer may be ahead of the slowest reader once an answer is too big to keep.
  size_t window_bytes = size_t{256} << 10;
};

// Of the one table that all routes share.
struct TableLimits {
  size_t max_keys = 10000;
  // Of all recordings that are kept or may still be kept.
  size_t max_bodies_bytes = size_t{12} << 20;
};

}  // namespace outrigger::idempotency
