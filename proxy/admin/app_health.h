// Whether the service behind the proxy counts as up: the hysteresis of HL-3 and HL-5 without IO.
//
//   AppHealth health("app", {.unhealthy_after = 3, .healthy_after = 1});
//   health.Record({CheckOutcome::kTimeout, "no answer in 2s"}, /*is_upstream_alive=*/true);
//
// Not healthy until the first success; then unhealthy after that many failures in a row, healthy
// again after that many successes in a row. A check that times out says nothing while the service
// still sends bytes to its users: it is saturated, not down.
//
// With `needs_inference` checks that pass are not enough: one inference must have succeeded since
// they began to.
//
//   if (health.awaits_inference()) ...                    // make one request
//   health.RecordInference({CheckOutcome::kSuccess, ""});  // healthy, until the checks fail
//
// It is asked for again only after the checks made the service unhealthy. When a reload begins to
// ask for it, a service that is healthy then stays so.
//
// What records and sets is called by one thread; everything else by any.

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
    bool needs_inference = false;
  };

  AppHealth(std::string name, Policy policy) : name_(std::move(name)), policy_(policy) {}
  AppHealth(const AppHealth&) = delete;
  AppHealth& operator=(const AppHealth&) = delete;

  // `is_upstream_alive`: a byte arrived from the service in the period of this check. True when the
  // result changed is_healthy().
  bool Record(CheckResult result, bool is_upstream_alive);

  // True when the result changed is_healthy().
  bool RecordInference(CheckResult result);

  // A reload; by the thread that records.
  void SetPolicy(Policy policy);
  // By the thread that records: whether the checks alone make the service healthy, and whether an
  // inference is all that is missing.
  bool is_up() const { return is_up_; }
  bool awaits_inference() const { return is_up_ && !has_inferred_; }

  const std::string& name() const { return name_; }
  bool is_healthy() const { return is_healthy_.load(std::memory_order_acquire); }
  bool has_ever_succeeded() const { return has_ever_succeeded_.load(std::memory_order_acquire); }
  CheckOutcome last_outcome() const { return last_outcome_.load(std::memory_order_acquire); }
  // What is wrong, or empty: "status 503 (2 of 3 failures)".
  std::string Problem() const;
  // Inferences so far.
  uint64_t inferences_passed() const { return inferences_passed_.load(); }
  uint64_t inferences_failed() const { return inferences_failed_.load(); }

 private:
  // Makes what others see of the fields of the recording thread. Whether is_healthy() has changed.
  bool Publish();

  const std::string name_;
  // Of the recording thread.
  Policy policy_;
  int failures_ = 0;   // in a row
  int successes_ = 0;  // in a row
  bool is_up_ = false;
  bool has_inferred_ = false;  // or did not need to
  std::string check_problem_ = "not checked yet";
  std::string inference_problem_;

  std::atomic<uint64_t> inferences_passed_{0};
  std::atomic<uint64_t> inferences_failed_{0};
  std::atomic<bool> is_healthy_{false};
  std::atomic<bool> has_ever_succeeded_{false};
  std::atomic<CheckOutcome> last_outcome_{CheckOutcome::kNone};
  mutable std::mutex mutex_;  // guards problem_
  std::string problem_ = "not checked yet";
};

}  // namespace outrigger::admin
