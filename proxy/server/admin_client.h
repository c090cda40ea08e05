// The other end of the admin port, for the commands that hooks of the sidecar's container run
// beside it, where there is no shell: `outrigger drain` and `outrigger wait`.

#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace outrigger::server {

inline constexpr char kDefaultAdmin[] = "127.0.0.1:15020";

struct DrainRequest {
  std::string admin = kDefaultAdmin;
  bool wait = false;
  absl::Duration timeout = absl::InfiniteDuration();  // infinite: the configuration's
};

// Blocks: until the proxy has taken the request, or, with `wait`, until it has drained. A proxy
// that ends while we wait has drained. Errors say what could not be reached and why.
absl::Status RequestDrain(const DrainRequest& request);

struct StartRequest {
  std::string admin = kDefaultAdmin;
  absl::Duration timeout = absl::Seconds(120);
};

// Blocks until the proxy at `admin` has started: its /startupz is 200. Nobody there yet is waited
// for too. DeadlineExceeded says what was the matter the last time; InvalidArgument: the address.
absl::Status AwaitStart(const StartRequest& request);

}  // namespace outrigger::server
