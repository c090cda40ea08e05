// The tiers of time that a route allows (semantics TO-3..TO-5); the values are the defaults.
//
// An infinite duration means "none". `overall` is enforced by the stream driver around the whole
// chain, the others by the timeout filter on each attempt. Plain data, immutable once a snapshot is
// built; shared by all workers.

#pragma once

#include "absl/time/time.h"

namespace outrigger::timeout {

struct TimeoutPolicy {
  absl::Duration overall = absl::Seconds(300);
  absl::Duration per_try = absl::InfiniteDuration();
  absl::Duration ttft = absl::Seconds(60);         // to the first content event of a stream
  absl::Duration inter_token = absl::Seconds(30);  // between content events of a stream
  // Takes the place of `overall` once the response head says text/event-stream.
  absl::Duration max_stream = absl::Hours(1);

  friend bool operator==(const TimeoutPolicy&, const TimeoutPolicy&) = default;
};

// The tiers of TO-3 by the kind of service. A chat stream has no `overall` until its head is there:
// `ttft` bounds that phase.
inline TimeoutPolicy EmbeddingTimeouts() { return {.overall = absl::Seconds(30)}; }
inline TimeoutPolicy ChatUnaryTimeouts() { return {.overall = absl::Seconds(300)}; }
inline TimeoutPolicy ChatStreamTimeouts() { return {.overall = absl::InfiniteDuration()}; }
inline TimeoutPolicy BatchTimeouts() { return {.overall = absl::Hours(1)}; }

}  // namespace outrigger::timeout
