// A coroutine that gives one value: how filters wait without blocking the worker.
//
//   Task<Result> TimeoutFilter::Call(Request& request, Next next) {
//     Result result = co_await next(request);
//     co_return result;
//   }
//
// A Task starts when it is awaited (or, at the top, when Start() is called) and is owned by whoever
// holds it: destroying the Task destroys the suspended frame and with it everything the coroutine
// holds, innermost first. That is cancellation; only destructors run. Every co_await is therefore a
// place where the function may end.
//
// REQUIRES: a Task is destroyed only while it is suspended or done, that is from the loop and never
// by code that it is itself running. One worker; not thread-safe. Frames come from the per-thread
// pool (proxy/base/pooled.h).
//
// A child that finishes without waiting continues its parent by returning from await_suspend, so
// that loops over ready children use no stack on any compiler (g++ makes symmetric transfer a tail
// call only at -O2). An exception that leaves a coroutine ends the process: nothing on the data
// path throws, and no C library below us could pass it on.

#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "proxy/base/pooled.h"

namespace outrigger {

template <class T>
class Task;

namespace coro_internal {

struct PromiseBase : Pooled {
  // Where to go on when this coroutine is done; set once it has suspended below its parent.
  std::coroutine_handle<> continuation;
  PromiseBase* parent = nullptr;  // for the await chain in a crash message

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
      const std::coroutine_handle<> next = done.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept;

  virtual void* frame() noexcept = 0;

 protected:
  ~PromiseBase() = default;
};

template <class T>
struct Promise final : PromiseBase {
  std::optional<T> value;

  Task<T> get_return_object() noexcept;
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  void* frame() noexcept override {
    return std::coroutine_handle<Promise>::from_promise(*this).address();
  }
};

template <>
struct Promise<void> final : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void* frame() noexcept override {
    return std::coroutine_handle<Promise>::from_promise(*this).address();
  }
};

}  // namespace coro_internal

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = coro_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() { Destroy(); }

  bool is_empty() const { return handle_ == nullptr; }
  // True when the coroutine has returned. REQUIRES: !is_empty().
  bool is_done() const { return handle_.done(); }

  // Runs to the first wait, or to the end. For the top of a chain and for combinators; inside a
  // coroutine write co_await. REQUIRES: not started.
  void Start() { handle_.resume(); }

  // After is_done(): the value. REQUIRES: called once.
  T TakeValue() {
    if constexpr (!std::is_void_v<T>) return std::move(*handle_.promise().value);
  }

  // For combinators: resume `parent` when this task, started and suspended, is done.
  template <class ParentPromise>
  void ContinueWith(std::coroutine_handle<ParentPromise> parent) {
    handle_.promise().continuation = parent;
    if constexpr (std::is_base_of_v<coro_internal::PromiseBase, ParentPromise>) {
      handle_.promise().parent = &parent.promise();
    }
  }

  // Destroys the frame: cancellation.
  void Reset() { Destroy(); }

  class Awaiter;
  Awaiter operator co_await() && noexcept;

 private:
  friend promise_type;
  explicit Task(Handle handle) : handle_(handle) {}

  void Destroy() {
    if (handle_ != nullptr) std::exchange(handle_, nullptr).destroy();
  }

  Handle handle_ = nullptr;
};

template <class T>
class Task<T>::Awaiter {
 public:
  explicit Awaiter(Handle child) : child_(child) {}

  bool await_ready() const noexcept { return false; }

  template <class ParentPromise>
  bool await_suspend(std::coroutine_handle<ParentPromise> parent) const {
    child_.promise().parent = &parent.promise();
    child_.resume();
    if (child_.done()) return false;
    child_.promise().continuation = parent;
    return true;
  }

  T await_resume() const {
    if constexpr (!std::is_void_v<T>) return std::move(*child_.promise().value);
  }

 private:
  Handle child_;
};

template <class T>
typename Task<T>::Awaiter Task<T>::operator co_await() && noexcept {
  return Awaiter(handle_);
}

namespace coro_internal {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace coro_internal
}  // namespace outrigger
