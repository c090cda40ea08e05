// What the admin port shows and changes, as the server provides it.
//
// Every call is made on the admin thread and must return without waiting for a worker: values come
// from atomics or from snapshots behind a mutex that is held briefly, changes are recorded or
// posted. A worker that is stuck must not silence the probes.
//
// A returned error becomes the HTTP answer: NotFound 404, InvalidArgument 400, FailedPrecondition
// 409, Unavailable 503, anything else 500, with the message as text.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace outrigger::admin {

enum class BreakerCommand : uint8_t { kOpen, kClose, kAuto };

struct BreakerView {
  std::string id;
  std::string state;    // closed, half_open, open
  std::string control;  // auto, or what an operator forced: open, close
  // Numbers worth showing: the window's counts, milliseconds to the next probe.
  std::vector<std::pair<std::string, int64_t>> numbers;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Prometheus text format.
  virtual std::string Metrics() = 0;
  // The effective configuration as YAML, without secrets.
  virtual std::string Config() = 0;
  virtual std::vector<BreakerView> Breakers() = 0;
  virtual absl::Status SetBreaker(std::string_view id, BreakerCommand command) = 0;
  // Counts by state of the key table and the like.
  virtual std::vector<std::pair<std::string, int64_t>> Idempotency() = 0;
  virtual absl::Status ForgetKey(std::string_view hash) = 0;
  // Begins to drain; a second call only waits along. `drained` is called once from any thread when
  // the drain is over; it may be dropped uncalled when the process ends otherwise.
  virtual void Drain(std::optional<absl::Duration> timeout, std::function<void()> drained) = 0;
  virtual std::string LogLevel() = 0;
  virtual absl::Status SetLogLevel(std::string_view level) = 0;
};

}  // namespace outrigger::admin
