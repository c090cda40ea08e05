// The other end of POST /drain, for `outrigger drain` in a PreStop hook.

#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace outrigger::server {

struct DrainRequest {
  std::string admin = "127.0.0.1:15020";
  bool wait = false;
  absl::Duration timeout = absl::InfiniteDuration();  // infinite: the configuration's
};

// Blocks: until the proxy has taken the request, or, with `wait`, until it has drained. A proxy
// that ends while we wait has drained. Errors say what could not be reached and why.
absl::Status RequestDrain(const DrainRequest& request);

}  // namespace outrigger::server
