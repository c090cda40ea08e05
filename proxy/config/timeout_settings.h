// Time limits of a request (semantics B5). Plain data; the defaults are the product's.

#pragma once

#include <optional>

#include "absl/time/time.h"

namespace outrigger::config {

// A limit for the first content that is `factor` times the 99th percentile seen lately (TO-4).
struct AdaptiveTtftSettings {
  double factor = 3;
  absl::Duration floor = absl::Seconds(5);
  absl::Duration cap = absl::Seconds(120);

  friend bool operator==(const AdaptiveTtftSettings&, const AdaptiveTtftSettings&) = default;
};

struct TimeoutSettings {
  absl::Duration overall = absl::Seconds(300);  // enforced around the whole chain
  std::optional<absl::Duration> per_try;
  absl::Duration ttft = absl::Seconds(60);
  std::optional<AdaptiveTtftSettings> adaptive;  // in place of `ttft`, once enough was seen
  absl::Duration inter_token = absl::Seconds(30);
  absl::Duration max_stream = absl::Hours(1);
  std::optional<absl::Duration> tunnel_idle = absl::Seconds(300);
  bool trust_sdk_header = false;  // x-stainless-read-timeout shortens the deadline (TO-6)
};

}  // namespace outrigger::config
