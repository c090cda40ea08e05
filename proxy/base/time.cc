#include "proxy/base/time.h"

#include <ctime>

namespace outrigger {
namespace {

MonoTime Read(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return MonoTime::FromNanos(static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
}

}  // namespace

MonoTime PreciseNow() { return Read(CLOCK_MONOTONIC); }
MonoTime CoarseNow() { return Read(CLOCK_MONOTONIC_COARSE); }

}  // namespace outrigger
