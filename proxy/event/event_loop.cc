#include "proxy/event/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "proxy/event/base_descriptor.h"

namespace outrigger {
namespace {

// Often enough for a liveness check that allows five seconds.
constexpr int64_t kLongestWaitNanos = 1'000'000'000;
constexpr int64_t kNanosInMilli = 1'000'000;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

EventLoop::EventLoop() {
  event_config* config = event_config_new();
  if (config == nullptr) Die("event_config_new");
  // One thread owns the base; other threads reach it through the eventfd alone.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  // Always epoll.
  event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
  base_.reset(event_base_new_with_config(config));
  event_config_free(config);
  if (base_ == nullptr) Die("event_base_new");

  message_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (message_fd_ < 0) Die("eventfd");
  message_event_.reset(event_new(
      base_.get(), message_fd_, EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<EventLoop*>(self)->OnMessages(); },
      this));
  event_add(message_event_.get(), nullptr);

  // Neither fails but for want of descriptors or memory: the base always has epoll.
  if (!poller_.Add(FindEpollSet(*base_), EPOLLIN, *this)) Die("libevent's epoll set");
}

EventLoop::~EventLoop() {
  // While there still is a loop that the last objects can use.
  RunPending();
  message_event_.reset();
  close(message_fd_);
}

void EventLoop::Run() {
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  is_running_ = true;
  bool more_work = true;  // what was deferred before
  while (!is_stopping_.load(std::memory_order_acquire)) {
    more_work = Turn(more_work ? 0 : MillisecondsToWait());
    last_turn_nanos_.store(Now().nanos(), std::memory_order_relaxed);
  }
  is_running_ = false;
  turn_time_ = MonoTime();
  is_stopping_.store(false, std::memory_order_release);
}

bool EventLoop::Turn(int milliseconds) {
  turn_time_ = MonoTime();
  poller_.Wait(milliseconds);
  if (wake_at_ <= Now()) RunTimers(Now());
  return RunDeferred();
}

int EventLoop::MillisecondsToWait() const {
  const int64_t left =
      std::clamp<int64_t>(wake_at_.nanos() - CoarseNow().nanos(), 0, kLongestWaitNanos);
  return static_cast<int>((left + kNanosInMilli - 1) / kNanosInMilli);
}

// Outside of Run() there are no turns.
MonoTime EventLoop::ReadTurnTime() const {
  const MonoTime now = CoarseNow();
  if (is_running_) turn_time_ = now;
  return now;
}

void EventLoop::Stop() {
  is_stopping_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  if (write(message_fd_, &one, sizeof one) < 0) return;  // full: the loop is awake already
}

void EventLoop::Post(absl::AnyInvocable<void()> message) {
  bool must_wake = false;
  {
    const std::lock_guard lock(mutex_);
    must_wake = messages_.empty();
    messages_.push_back(std::move(message));
  }
  const uint64_t one = 1;
  if (must_wake && write(message_fd_, &one, sizeof one) < 0) return;  // full: awake already
}

void EventLoop::OnMessages() {
  uint64_t count = 0;
  if (read(message_fd_, &count, sizeof count) < 0) count = 0;  // another turn took them
  std::vector<absl::AnyInvocable<void()>> batch;
  {
    const std::lock_guard lock(mutex_);
    batch.swap(messages_);
  }
  for (absl::AnyInvocable<void()>& message : batch) message();
}

}  // namespace outrigger
