// A loop whose clock only the test moves.
//
//   FakeLoop loop;
//   task.Start();
//   loop.Advance(absl::Milliseconds(25));    // fires what is due, in order, then what was deferred
//
// Time starts at one hour, so that "a while ago" can be expressed. One thread.

#pragma once

#include <algorithm>

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

  // Runs what was deferred, until nothing is left.
  void RunPending() {
    while (RunDeferred()) {
    }
  }

 private:
  void WakeAt(MonoTime when) override { next_wake_ = when; }

  MonoTime now_ = MonoTime::FromNanos(3'600'000'000'000);
  MonoTime next_wake_ = MonoTime::Infinite();
};

}  // namespace outrigger
