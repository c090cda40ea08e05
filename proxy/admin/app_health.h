// Whether the service behind the proxy counts as up: the hysteresis of HL-3 and HL-5 without IO.
//
//   AppHealth health("app", {.unhealthy_after = 3, .healthy_after = 1});
//   health.Record({CheckOutcome::kTimeout, "no answer in 2s"}, /*is_upstream_alive=*/true);
//
// Not healthy until the first success; then unhealthy after that many failures in a row, healthy
// again after that many successes in a row. A check that times out says nothing while the service
// still sends bytes to its users: it is saturated, not down.
//
// Record() is called by one thread; everything else by any.

#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace outrigger::admin {

enum class CheckOutcome : uint8_t {
  kNone,  // not checked yet
  kSuccess,
  kRefused,    // nothing listens there
  kTimeout,    // no answer in time
  kBadStatus,  // an HTTP answer outside 200 to 399
  kError,      // anything else: reset, garbage, a name that does not resolve
};

struct CheckResult {
  CheckOutcome outcome = CheckOutcome::kNone;
  std::string detail;  // for people, for example "status 503"
  int status = 0;      // of the answer; 0: there was none, or it was not asked over HTTP
};

class AppHealth {
 public:
  struct Policy {
    int unhealthy_after = 3;
    int healthy_after = 1;
  };

  AppHealth(std::string name, Policy policy) : name_(std::move(name)), policy_(policy) {}
  AppHealth(const AppHealth&) = delete;
  AppHealth& operator=(const AppHealth&) = delete;

  // `is_upstream_alive`: a byte arrived from the service in the period of this check. True when the
  // result changed is_healthy().
  bool Record(CheckResult result, bool is_upstream_alive);

  // A reload; by the thread that records.
  void SetPolicy(Policy policy) { policy_ = policy; }

  const std::string& name() const { return name_; }
  bool is_healthy() const { return is_healthy_.load(std::memory_order_acquire); }
  bool has_ever_succeeded() const { return has_ever_succeeded_.load(std::memory_order_acquire); }
  CheckOutcome last_outcome() const { return last_outcome_.load(std::memory_order_acquire); }
  // What is wrong, or empty: "status 503 (2 of 3 failures)".
  std::string Problem() const;

 private:
  const std::string name_;
  Policy policy_;      // of the recording thread
  int failures_ = 0;   // in a row
  int successes_ = 0;  // in a row
  std::atomic<bool> is_healthy_{false};
  std::atomic<bool> has_ever_succeeded_{false};
  std::atomic<CheckOutcome> last_outcome_{CheckOutcome::kNone};
  mutable std::mutex mutex_;  // guards problem_
  std::string problem_ = "not checked yet";
};

}  // namespace outrigger::admin
