// Settings of the idempotency filter (semantics B1). Plain data; the defaults are the product's.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/config/units.h"

namespace outrigger::config {

// What a request does whose key is already being worked on (ID-3).
struct InFlightSettings {
  enum class Mode { kJoin, kReject, kWait };
  Mode mode = Mode::kJoin;
  absl::Duration wait = absl::Seconds(5);  // of kWait

  friend bool operator==(const InFlightSettings&, const InFlightSettings&) = default;
};

// What of the body tells requests with one key apart (ID-2).
struct JsonFingerprintSettings {
  std::vector<std::string> ignore;  // JSON Pointers
  size_t max_body = 1 << 20;

  friend bool operator==(const JsonFingerprintSettings&, const JsonFingerprintSettings&) = default;
};
struct FingerprintSettings {
  enum class Mode { kExact, kJson };
  Mode mode = Mode::kExact;
  JsonFingerprintSettings json;  // of kJson

  friend bool operator==(const FingerprintSettings&, const FingerprintSettings&) = default;
};

enum class IdempotencyScope { kTenant, kAnonymous };
enum class OnFull { kReject, kBypass };
enum class OnOwnerDisconnect { kFinish, kCancel };
enum class IdempotencyStore { kMemory };
enum class OnStoreError { kFailClosed, kFailLocal };
enum class ReplayPace { kBurst, kOriginal };

// Executions that go on although nobody waits for them any more (ID-12).
struct DetachedSettings {
  int64_t max = 8;
  absl::Duration timeout = absl::Seconds(120);
};

struct IdempotencySettings {
  std::vector<std::string> key_headers = {"idempotency-key"};  // lower case
  int64_t key_max_len = 255;
  bool required = false;
  InFlightSettings in_flight;
  IdempotencyScope scope = IdempotencyScope::kTenant;
  FingerprintSettings fingerprint;
  absl::Duration key_ttl = absl::Hours(1);
  absl::Duration response_ttl = absl::Hours(1);
  int64_t max_keys = 10'000;
  size_t max_body = 2 << 20;
  std::optional<size_t> max_bodies;  // not set: a quarter of the memory budget
  int64_t max_waiters = 1000;
  std::optional<RateSpec> replay_rate;  // of each tenant; not set: no limit
  ReplayPace replay_pace = ReplayPace::kBurst;
  OnFull on_full = OnFull::kReject;
  OnOwnerDisconnect on_owner_disconnect = OnOwnerDisconnect::kFinish;
  DetachedSettings detached;
  IdempotencyStore store = IdempotencyStore::kMemory;
  OnStoreError on_store_error = OnStoreError::kFailClosed;
};

}  // namespace outrigger::config
