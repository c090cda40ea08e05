// Settings of the retry filter (semantics B4). Plain data; the defaults are the product's.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace outrigger::config {

enum class BackoffKind {
  kFixed,
  kExponential,
  kFullJitter,
  kEqualJitter,
  kDecorrelated,
  kProvider,  // exponential, times U(0.75, 1)
};

struct BackoffSettings {
  BackoffKind kind = BackoffKind::kFullJitter;
  absl::Duration base = absl::Milliseconds(25);
  absl::Duration cap = absl::Seconds(1);

  friend bool operator==(const BackoffSettings&, const BackoffSettings&) = default;
};

// The two presets of RT-2: for a service on this machine, and for one behind the network.
inline constexpr BackoffSettings kLocalBackoff;
inline constexpr BackoffSettings kProviderBackoff{BackoffKind::kProvider, absl::Milliseconds(500),
                                                  absl::Seconds(8)};

// In every window: `ratio` of the first attempts plus `floor` (RT-3).
struct RetryBudgetSettings {
  double ratio = 0.2;
  int64_t floor = 3;
  absl::Duration window = absl::Seconds(10);
};

struct RetryCauseSettings {
  int64_t retries = 2;  // 0: never
  absl::Duration delay = absl::Milliseconds(25);
};

// What an answer to a stream waits for before it is passed on (RT-5).
enum class CommitPoint { kContent, kHeaders };

struct RetrySettings {
  int64_t attempts = 3;  // the first included
  BackoffSettings backoff;
  RetryBudgetSettings budget;
  absl::Duration max_retry_after = absl::Seconds(30);
  size_t max_replay_body = 1 << 20;
  size_t replay_pool = 16 << 20;
  CommitPoint commit = CommitPoint::kContent;
  // Overrides by cause: connect, reset, timeout or a status of three digits.
  std::map<std::string, RetryCauseSettings> causes;
};

}  // namespace outrigger::config
