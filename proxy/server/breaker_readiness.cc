#include "proxy/server/breaker_readiness.h"

#include <memory>

#include "fmt/format.h"

namespace outrigger::server {

std::string BreakerReadiness::Problem(MonoTime now) {
  std::string refusing;
  for (const std::shared_ptr<breaker::Breaker>& breaker : breakers_.List()) {
    if (!breaker->TakeSnapshot(now).refuses_requests) continue;
    if (!refusing.empty()) refusing += ", ";
    refusing += breaker->id();
  }
  const std::lock_guard lock(mutex_);
  if (refusing.empty()) {
    since_.reset();
    return refusing;
  }
  if (!since_.has_value()) since_ = now;
  if (now - *since_ >= max_unready_for_) return "";
  return fmt::format("open: {}", refusing);
}

}  // namespace outrigger::server
