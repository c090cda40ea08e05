// What the probes are told (HL-1 to HL-3), as facts that other threads report.
//
//   HealthState health({.workers = 2, .started_at = PreciseNow()});
//   health.WorkerTicked(0, loop.Now());          // each worker, about once a second
//   health.SetConfigLoaded();
//   if (!health.Ready().ok()) ...                // 503
//
// livez: every worker ticked in the last 5 s, nothing else. startupz: configuration loaded,
// listeners bound, every worker running; never the service. readyz: loaded, bound, not draining and
// the service's check passes; never load, unless a check was added that says so (HL-4).
//
// A process that was stopped as a whole (SIGSTOP, a frozen or throttled cgroup) is not a process
// with a stuck worker: when the observer finds that it was itself away, the workers' silence counts
// from its return.
//
// Reporting is thread-safe and lock-free but for SetApps and SetReadyCheck. Live(), Observe()
// belong to one thread.

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proxy/admin/app_health.h"
#include "proxy/base/time.h"

namespace outrigger::admin {

// One probe's answer, check by check.
struct HealthReport {
  struct Check {
    std::string name;
    std::string problem;  // empty: passed
  };

  std::string_view name;  // "livez"
  std::vector<Check> checks;

  bool ok() const;
  // In the words of kube-apiserver: "[+]ping ok", "[-]app failed: ...", then a summary.
  std::string Text() const;
};

class HealthState {
 public:
  struct Options {
    int workers = 1;
    MonoTime started_at;
    absl::Duration stall_after = absl::Seconds(5);
  };

  explicit HealthState(Options options);
  HealthState(const HealthState&) = delete;
  HealthState& operator=(const HealthState&) = delete;

  // REQUIRES: 0 <= worker < workers.
  void WorkerTicked(int worker, MonoTime now);
  void SetConfigLoaded() { is_config_loaded_.store(true); }
  void SetListenersBound() { are_listeners_bound_.store(true); }
  void SetDraining() { is_draining_.store(true); }
  bool is_draining() const { return is_draining_.load(); }
  // Replaces the checks that readiness depends on.
  void SetApps(std::vector<std::shared_ptr<const AppHealth>> apps);
  std::vector<std::shared_ptr<const AppHealth>> Apps() const;

  // A further condition of readiness: says what is wrong, or nothing. Called by whoever asks
  // Ready(), on any thread. Takes the place of the one of that name; null: there is none any more.
  void SetReadyCheck(const std::string& check, std::function<std::string()> problem);

  // The observing thread says that it runs, several times a second.
  void Observe(MonoTime now);
  HealthReport Live(MonoTime now);
  HealthReport Started() const;
  HealthReport Ready() const;

 private:
  // An observer that was away for longer than this was not just busy.
  static constexpr absl::Duration kPause = absl::Seconds(2);

  struct alignas(64) Worker {
    std::atomic<int64_t> last_tick_nanos{0};
    std::atomic<bool> is_running{false};
  };

  const Options options_;
  std::vector<Worker> workers_;
  MonoTime last_observed_;
  MonoTime silence_from_;  // earlier silence does not count
  std::atomic<bool> is_config_loaded_{false};
  std::atomic<bool> are_listeners_bound_{false};
  std::atomic<bool> is_draining_{false};
  mutable std::mutex mutex_;  // guards the rest
  std::map<std::string, std::function<std::string()>> ready_checks_;
  std::vector<std::shared_ptr<const AppHealth>> apps_;
};

}  // namespace outrigger::admin
