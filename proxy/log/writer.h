// The thread that copies rings to the output.
//
//   Writer writer(STDOUT_FILENO, absl::Milliseconds(50));
//   writer.AddRing(ring);
//   if (ring.TryPush(line)) writer.AfterPush(ring);
//   writer.Stop(absl::Seconds(1));
//
// While lines flow it looks once per interval, and producers make no system call unless their ring
// is more than half full. When a look finds nothing it sleeps until the next line wakes it: one
// system call for the first line after a pause.
//
// An output that blocks stops the writer, never the producers: their rings fill and they drop.
// AddRing, Flush and dropped_lines are thread-safe; AfterPush belongs to the ring's producer. Rings
// must outlive Stop().

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "proxy/base/time.h"
#include "proxy/log/output.h"
#include "proxy/log/ring.h"

namespace outrigger::log {

class Writer {
 public:
  Writer(int fd, absl::Duration interval);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void AddRing(Ring& ring);
  void AfterPush(Ring& ring);
  bool Flush(absl::Duration timeout);
  // Writes what is left for at most `timeout`; the rest is counted as dropped. Only the first call
  // does anything.
  void Stop(absl::Duration timeout);
  uint64_t dropped_lines() const { return dropped_lines_.load(std::memory_order_relaxed); }

 private:
  void Run();
  bool DrainAll();
  // Gives up when stopped and the deadline has passed.
  void Drain(Ring& ring);
  void CountDropped(std::string_view bytes);
  bool HasWork() const;
  std::vector<Ring*> Rings() const;
  void Interrupt();
  // Waits for an interrupt, and for room in the output when `for_output`.
  void Wait(bool for_output, absl::Duration timeout);
  bool is_past_stop_deadline() const;

  Output output_;
  const absl::Duration interval_;
  int event_fd_ = -1;
  std::atomic<bool> is_sleeping_{false};
  std::atomic<bool> is_urgent_{false};
  std::atomic<bool> is_stopping_{false};
  std::atomic<int64_t> stop_deadline_nanos_{0};
  std::atomic<uint64_t> dropped_lines_{0};

  mutable std::mutex mutex_;  // guards rings_ and the waiting for progress
  std::condition_variable progress_;
  std::vector<Ring*> rings_;
  std::thread thread_;
};

}  // namespace outrigger::log
