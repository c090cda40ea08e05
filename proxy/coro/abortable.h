// Awaits a task that something on the loop may cut short: a deadline, a client that leaves.
//
//   Abortable<Result> attempt(next(request));
//   DeadlineEntry deadline(queue, [&] { attempt.Abort(); });
//   std::optional<Result> result = co_await attempt;   // nullopt: aborted
//
// Owns the task. Abort() destroys it and then resumes the awaiting coroutine; it does nothing when
// the task is done or was not awaited yet (the await then returns nullopt at once).
// REQUIRES: Abort() is called from the loop, never by code that the task is running.

#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "proxy/coro/task.h"

namespace outrigger {

template <class T>
class Abortable {
 public:
  explicit Abortable(Task<T> task) : task_(std::move(task)) {}
  Abortable(const Abortable&) = delete;
  Abortable& operator=(const Abortable&) = delete;

  void Abort() {
    if (is_aborted_ || (waiter_ == nullptr && !task_.is_empty() && is_started_)) return;
    is_aborted_ = true;
    task_.Reset();
    if (waiter_ != nullptr) std::exchange(waiter_, nullptr).resume();
  }

  bool await_ready() const noexcept { return is_aborted_; }

  template <class ParentPromise>
#if defined(__clang__)
  [[clang::noinline]]  // clang 16 may otherwise touch the frame after the suspension (LLVM #56301)
#endif
  bool
  await_suspend(std::coroutine_handle<ParentPromise> parent) {
    is_started_ = true;
    task_.Start();
    if (task_.is_done()) return false;
    waiter_ = parent;
    task_.ContinueWith(parent);
    return true;
  }

  std::optional<T> await_resume() {
    waiter_ = nullptr;
    if (is_aborted_) return std::nullopt;
    return task_.TakeValue();
  }

 private:
  Task<T> task_;
  std::coroutine_handle<> waiter_ = nullptr;
  bool is_started_ = false;
  bool is_aborted_ = false;
};

}  // namespace outrigger
