#include "proxy/http2/flood_guard.h"

namespace outrigger::http2 {

void FloodGuard::Refill(MonoTime now) {
  if (now <= last_) return;
  const double seconds = static_cast<double>(now.nanos() - last_.nanos()) * 1e-9;
  last_ = now;
  resets_ = std::min(kResetBurst, resets_ + seconds * kResetsPerSecond);
  frames_ = std::min(kFrameBurst, frames_ + seconds * kFramesPerSecond);
}

}  // namespace outrigger::http2
