// Time limits of a request (semantics B5). Plain data; the defaults are the product's.

#pragma once

#include <optional>

#include "absl/time/time.h"

namespace outrigger::config {

struct TimeoutSettings {
  absl::Duration overall = absl::Seconds(300);  // enforced around the whole chain
  std::optional<absl::Duration> per_try;
  absl::Duration ttft = absl::Seconds(60);
  absl::Duration inter_token = absl::Seconds(30);
  absl::Duration max_stream = absl::Hours(1);
  std::optional<absl::Duration> tunnel_idle = absl::Seconds(300);
  bool trust_sdk_header = false;  // x-stainless-read-timeout shortens the deadline (TO-6)
};

}  // namespace outrigger::config
