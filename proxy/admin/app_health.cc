#include "proxy/admin/app_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace outrigger::admin {

bool AppHealth::Record(CheckResult result, bool is_upstream_alive) {
  last_outcome_.store(result.outcome, std::memory_order_release);
  if (result.outcome == CheckOutcome::kSuccess) {
    check_problem_.clear();
    failures_ = 0;
    ++successes_;
    if (!has_ever_succeeded() || successes_ >= policy_.healthy_after) is_up_ = true;
    has_ever_succeeded_.store(true, std::memory_order_release);
    if (!is_up_) {
      check_problem_ =
          fmt::format("recovering ({} of {} successes)", successes_, policy_.healthy_after);
    }
  } else if (result.outcome == CheckOutcome::kTimeout && is_upstream_alive && is_up_) {
    return false;
  } else {
    successes_ = 0;
    failures_ = std::min(failures_ + 1, policy_.unhealthy_after);
    if (failures_ >= policy_.unhealthy_after) is_up_ = false;
    check_problem_ =
        fmt::format("{} ({} of {} failures)", result.detail, failures_, policy_.unhealthy_after);
  }
  return Publish();
}

bool AppHealth::RecordInference(CheckResult result) {
  if (result.outcome == CheckOutcome::kSuccess) {
    inferences_passed_.fetch_add(1);
    has_inferred_ = is_up_;
  } else {
    inferences_failed_.fetch_add(1);
    inference_problem_ = std::move(result.detail);
  }
  return Publish();
}

void AppHealth::SetPolicy(Policy policy) {
  policy_ = policy;
  Publish();
}

bool AppHealth::Publish() {
  const bool was_healthy = is_healthy();
  if (!is_up_) {
    has_inferred_ = false;
    inference_problem_.clear();
  } else if (!policy_.needs_inference) {
    has_inferred_ = true;
  }
  is_healthy_.store(is_up_ && has_inferred_, std::memory_order_release);
  std::string problem = check_problem_;
  if (problem.empty() && awaits_inference()) {
    problem = inference_problem_.empty()
                  ? "the inference probe has not passed yet"
                  : fmt::format("the inference probe has not passed: {}", inference_problem_);
  }
  {
    std::lock_guard lock(mutex_);
    problem_ = std::move(problem);
  }
  return is_healthy() != was_healthy;
}

std::string AppHealth::Problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace outrigger::admin
