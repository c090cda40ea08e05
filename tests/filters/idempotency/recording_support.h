// What the tests of recordings and of the key table share.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "filters/idempotency/recording.h"
#include "filters/idempotency/recording_reader.h"

namespace outrigger::idempotency {

// Grants up to a limit and counts.
class CountingQuota final : public RecordingQuota {
 public:
  explicit CountingQuota(size_t limit = SIZE_MAX) : limit_(limit) {}

  bool TryReserve(size_t bytes) override {
    if (used_ + bytes > limit_) return false;
    used_ += bytes;
    return true;
  }
  void Release(size_t bytes) override { used_ -= bytes; }
  size_t used() const { return used_; }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

// Counts its wake-ups.
class CountingWaiter final : public Waiter {
 public:
  void Wake() override { ++wakes_; }
  int wakes() const { return wakes_; }

 private:
  std::atomic<int> wakes_{0};
};

// Blocks a thread until woken, as a worker's loop does with its mailbox.
class BlockingWaiter final : public Waiter {
 public:
  void Wake() override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_one();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return woken_; });
    woken_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

inline std::unique_ptr<RecordingReader> Join(Recording& recording,
                                             MonoTime deadline = MonoTime::Infinite()) {
  JoinRefusal refusal;
  return recording.AddReader(deadline, &refusal);
}

// Reads until it would have to wait or there is no more.
inline ReadResult::State ReadAvailable(RecordingReader& reader, Waiter& waiter, std::string* body) {
  for (;;) {
    const ReadResult read = reader.Next(waiter);
    if (read.state != ReadResult::State::kData) return read.state;
    body->append(read.data);
  }
}

inline http::HeaderList NoHeaders() { return {}; }

}  // namespace outrigger::idempotency
