// Wakes one coroutine of the same worker: "there is something to look at".
//
//   Signal readable(loop);
//   while (buffer.empty()) co_await readable.Wait();     // the reader
//   readable.Notify();                                    // the other side
//
// A notification that finds nobody waiting is kept, so that the next Wait() returns at once: check
// the condition in a loop. Notify() never runs the waiter inside the caller, which may be in the
// middle of a change; it runs later in the same turn. NotifyFromLoop() runs it at once and is for
// callbacks of the loop whose own work is done.
//
// One thread, one waiter at a time. Destroying the waiting frame takes it off the signal; the
// signal must outlive a waiter.

#pragma once

#include <coroutine>
#include <utility>

#include "proxy/event/loop.h"

namespace outrigger {

class Signal final : private Deferred {
 public:
  explicit Signal(Loop& loop) : loop_(loop) {}

  void Notify() {
    is_set_ = true;
    if (waiter_ != nullptr) loop_.Defer(*this);
  }
  void NotifyFromLoop() {
    is_set_ = true;
    RunDeferred();
  }
  // Forgets a notification that nobody has seen.
  void Clear() { is_set_ = false; }
  bool has_waiter() const { return waiter_ != nullptr; }

  class Awaiter {
   public:
    explicit Awaiter(Signal& signal) : signal_(signal) {}
    ~Awaiter() {
      if (is_waiting_) signal_.waiter_ = nullptr;
    }
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;

    bool await_ready() const { return std::exchange(signal_.is_set_, false); }
#if defined(__clang__)
    [[clang::noinline]]  // clang 16 may otherwise touch the frame after the suspension (LLVM
                         // #56301)
#endif
    void
    await_suspend(std::coroutine_handle<> waiter) {
      signal_.waiter_ = waiter;
      is_waiting_ = true;
      signal_.waiting_ = this;
    }
    void await_resume() const {}

   private:
    friend class Signal;
    Signal& signal_;
    bool is_waiting_ = false;
  };

  Awaiter Wait() { return Awaiter(*this); }

 private:
  void RunDeferred() override {
    if (waiter_ == nullptr || !is_set_) return;
    is_set_ = false;
    waiting_->is_waiting_ = false;
    std::exchange(waiter_, nullptr).resume();
  }

  Loop& loop_;
  std::coroutine_handle<> waiter_;
  Awaiter* waiting_ = nullptr;
  bool is_set_ = false;
};

// Notifies a signal at a point in time, for waits that must not last for ever.
class SignalTimer final : public Timer {
 public:
  SignalTimer(Loop& loop, Signal& signal) : Timer(loop), signal_(signal) {}

 private:
  void OnTimer() override { signal_.NotifyFromLoop(); }

  Signal& signal_;
};

}  // namespace outrigger
