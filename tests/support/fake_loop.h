// A loop whose clock only the test moves.
//
//   FakeLoop loop;
//   task.Start();
//   loop.Advance(absl::Milliseconds(25));    // fires what is due, in order, then what was deferred
//
// Time starts at one hour, so that "a while ago" can be expressed. One thread; messages that others
// post are run by RunPending() and Advance().

#pragma once

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "proxy/event/loop.h"

namespace outrigger {

class FakeLoop final : public Loop {
 public:
  FakeLoop() = default;
  ~FakeLoop() override { RunPending(); }

  MonoTime Now() const override { return now_; }
  MonoTime PreciseNow() const override { return now_; }
  absl::Time WallNow() const override {
    return absl::FromUnixSeconds(1'750'000'000) + (now_ - MonoTime());
  }

  // Moves to each due timer in turn, then to the end.
  void Advance(absl::Duration duration) {
    const MonoTime end = now_ + duration;
    RunPending();
    while (next_wake_ <= end) {
      now_ = std::max(now_, next_wake_);
      RunTimers(now_);
      RunPending();
    }
    now_ = end;
  }

  void Post(absl::AnyInvocable<void()> message) override {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
  }
  bool IsOnThread() const override { return thread_ == std::this_thread::get_id(); }

  // Runs what was posted and deferred, until nothing is left.
  void RunPending() {
    for (;;) {
      const bool had_messages = RunMessages();
      if (!RunDeferred() && !had_messages) return;
    }
  }

 private:
  bool RunMessages() {
    std::vector<absl::AnyInvocable<void()>> batch;
    {
      const std::lock_guard lock(mutex_);
      batch.swap(messages_);
    }
    for (absl::AnyInvocable<void()>& message : batch) message();
    return !batch.empty();
  }

  void WakeAt(MonoTime when) override { next_wake_ = when; }

  MonoTime now_ = MonoTime::FromNanos(3'600'000'000'000);
  MonoTime next_wake_ = MonoTime::Infinite();
  const std::thread::id thread_ = std::this_thread::get_id();
  std::mutex mutex_;  // guards messages_
  std::vector<absl::AnyInvocable<void()>> messages_;
};

}  // namespace outrigger
