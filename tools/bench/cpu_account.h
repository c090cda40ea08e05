// CPU time that processes used, from the scheduler's own nanosecond accounting.
//
//   CpuAccount account({pid});
//   const int64_t before = account.Nanos();
//   ... the proxy works ...
//   const int64_t used = account.Nanos() - before;
//
// Sums /proc/PID/task/*/schedstat. A thread that is running at this moment lags by up to one tick,
// so read while the processes wait (nothing in flight) or over a window much longer than a tick.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace outrigger::bench {

class CpuAccount {
 public:
  explicit CpuAccount(std::vector<int> pids) : pids_(std::move(pids)) {}
  // Of "12,34"; empty for no process.
  static CpuAccount FromList(std::string_view pids);

  // Dies when a process is not there any more: what was measured then means nothing.
  int64_t Nanos() const;

 private:
  std::vector<int> pids_;
};

}  // namespace outrigger::bench
