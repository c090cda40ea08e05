// What a filter or a stream needs of its worker's event loop: time, timers, and "later in this
// turn". The real loop (event_loop.h) runs on libevent; tests use a FakeLoop whose clock they move.
//
//   co_await loop.Sleep(absl::Milliseconds(25));
//   loop.DeferDelete(std::move(connection));     // destroyed at the end of the turn
//
// A turn is: wait for events, run their callbacks, run what was deferred. Everything here belongs
// to one thread, except Post() and IsOnThread(). Timers and deferred work are owned by their users
// and leave the loop when they are destroyed; the loop must outlive them.

#pragma once

#include <coroutine>
#include <memory>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "proxy/base/intrusive_list.h"
#include "proxy/base/time.h"

namespace outrigger {

class Loop;

// Something that runs once at a point in time. Derive and override OnTimer. For constant timeouts
// armed on every request use a DeadlineQueue, which costs a tenth.
class Timer {
 public:
  explicit Timer(Loop& loop) : loop_(loop) {}
  virtual ~Timer() { Disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces an earlier time. Never fires before `when`, nor in the round of timers that is under
  // way: one that is armed for now by its own callback comes in the next turn.
  void Arm(MonoTime when);
  void Disarm();
  bool is_armed() const { return is_armed_; }
  Loop& loop() const { return loop_; }

 protected:
  // Called from the loop, disarmed. May arm again or destroy the timer.
  virtual void OnTimer() = 0;

 private:
  friend class Loop;

  Loop& loop_;
  MonoTime when_;
  bool is_armed_ = false;
};

// Something that runs at the end of the current turn. Deferring twice runs it once; Unlink()
// takes it back.
class Deferred : public ListNode {
 public:
  virtual ~Deferred() = default;

 private:
  friend class Loop;
  virtual void RunDeferred() = 0;
};

// What DeferDelete() accepts.
class Deletable : public ListNode {
 public:
  virtual ~Deletable() = default;
};

class Loop {
 public:
  Loop() = default;
  virtual ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Coarse: up to 4 ms late. For deadlines, refills and windows.
  virtual MonoTime Now() const = 0;
  // For latencies.
  virtual MonoTime PreciseNow() const = 0;
  // The date, for headers and logs.
  virtual absl::Time WallNow() const = 0;

  // Runs `message` on the loop's thread, in a later turn. Any thread. The loop is woken at most
  // once for all the messages that it has not taken yet; those that are pending when it is
  // destroyed are destroyed without being run.
  virtual void Post(absl::AnyInvocable<void()> message) = 0;
  // Whether the caller is the thread that runs the loop. Any thread.
  virtual bool IsOnThread() const = 0;

  void Defer(Deferred& work) {
    if (!work.is_linked()) deferred_.PushBack(work);
  }
  // Destroys `object` at the end of this turn, when none of its code is running.
  void DeferDelete(std::unique_ptr<Deletable> object) { doomed_.PushBack(*object.release()); }

  class SleepAwaiter;
  // Awaitable; zero or less does not suspend.
  SleepAwaiter Sleep(absl::Duration duration);

  // Timers armed now, for tests that look for leaks.
  size_t armed_timers() const { return timers_.size(); }

 protected:
  // The earliest timer has changed; Infinite() when there is none.
  virtual void WakeAt(MonoTime when) = 0;

  // Fires every timer due at `now`.
  void RunTimers(MonoTime now);
  // Runs what was deferred before the call, then deletes what is doomed. True when more was
  // deferred meanwhile, so that the next turn must not wait.
  bool RunDeferred();

 private:
  friend class Timer;

  using Entry = std::pair<MonoTime, Timer*>;

  absl::btree_set<Entry> timers_;
  // The time of the round of timers that runs now; below all times between rounds.
  MonoTime round_ = MonoTime::FromNanos(INT64_MIN);
  IntrusiveList<Deferred> deferred_;
  IntrusiveList<Deletable> doomed_;
};

class Loop::SleepAwaiter final : public Timer {
 public:
  SleepAwaiter(Loop& loop, absl::Duration duration) : Timer(loop), duration_(duration) {}

  bool await_ready() const { return duration_ <= absl::ZeroDuration(); }
  void await_suspend(std::coroutine_handle<> waiter);
  void await_resume() const {}

 private:
  void OnTimer() override { waiter_.resume(); }

  const absl::Duration duration_;
  std::coroutine_handle<> waiter_;
};

inline Loop::SleepAwaiter Loop::Sleep(absl::Duration duration) { return {*this, duration}; }

}  // namespace outrigger
