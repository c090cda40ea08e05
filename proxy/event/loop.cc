#include "proxy/event/loop.h"

namespace outrigger {

void Timer::Arm(MonoTime when) {
  Disarm();
  if (when.is_infinite()) return;
  // Due at once while timers are being run: not in this round, or it might never end.
  when_ = when > loop_.round_ ? when : loop_.round_ + absl::Nanoseconds(1);
  is_armed_ = true;
  const auto [position, inserted] = loop_.timers_.emplace(when_, this);
  if (position == loop_.timers_.begin()) loop_.WakeAt(when_);
}

// The wake-up that was set for a disarmed timer is left to come: it finds nothing due and sets the
// next one, which is cheaper than moving the loop's timer on each cancellation.
void Timer::Disarm() {
  if (!is_armed_) return;
  is_armed_ = false;
  loop_.timers_.erase({when_, this});
}

Loop::~Loop() { RunDeferred(); }

void Loop::RunTimers(MonoTime now) {
  round_ = now;
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Timer* timer = timers_.begin()->second;
    timers_.erase(timers_.begin());
    timer->is_armed_ = false;
    timer->OnTimer();
  }
  round_ = MonoTime::FromNanos(INT64_MIN);
  WakeAt(timers_.empty() ? MonoTime::Infinite() : timers_.begin()->first);
}

bool Loop::RunDeferred() {
  IntrusiveList<Deferred> batch;
  batch.TakeAll(deferred_);
  while (!batch.empty()) {
    Deferred& work = batch.front();
    work.Unlink();
    work.RunDeferred();
  }
  // Destructors may doom further objects; they go in the same turn.
  while (!doomed_.empty()) {
    Deletable& object = doomed_.front();
    object.Unlink();
    delete &object;
  }
  return !deferred_.empty();
}

#if defined(__clang__)
[[clang::noinline]]  // clang 16 may otherwise touch the frame after the suspension (LLVM #56301)
#endif
void Loop::SleepAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  Arm(loop().Now() + duration_);
}

}  // namespace outrigger
