#include "proxy/admin/app_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace outrigger::admin {

bool AppHealth::Record(CheckResult result, bool is_upstream_alive) {
  const bool was_healthy = is_healthy();
  last_outcome_.store(result.outcome, std::memory_order_release);
  std::string problem;
  if (result.outcome == CheckOutcome::kSuccess) {
    failures_ = 0;
    ++successes_;
    if (!has_ever_succeeded() || successes_ >= policy_.healthy_after) is_healthy_.store(true);
    has_ever_succeeded_.store(true, std::memory_order_release);
    if (!is_healthy()) {
      problem = fmt::format("recovering ({} of {} successes)", successes_, policy_.healthy_after);
    }
  } else if (result.outcome == CheckOutcome::kTimeout && is_upstream_alive && was_healthy) {
    return false;
  } else {
    successes_ = 0;
    failures_ = std::min(failures_ + 1, policy_.unhealthy_after);
    if (failures_ >= policy_.unhealthy_after) is_healthy_.store(false);
    problem =
        fmt::format("{} ({} of {} failures)", result.detail, failures_, policy_.unhealthy_after);
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
