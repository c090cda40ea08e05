// The loop of one worker on libevent: sockets, timers, deferred work, and messages from other
// threads.
//
//   EventLoop loop;
//   loop.Post([&] { ... });        // from any thread: runs on the loop's thread
//   loop.Run();                    // until Stop()
//
// Post(), IsOnThread() and Stop() may be called from other threads, nothing else.

#pragma once

#include <event2/event.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "proxy/event/loop.h"
#include "proxy/event/poller.h"

namespace outrigger {

class EventLoop final : public Loop {
 public:
  EventLoop();
  ~EventLoop() override;

  // Within a turn always the same: read once when it is first asked for.
  MonoTime Now() const override {
    if (turn_time_.nanos() == 0) [[unlikely]] {
      return ReadTurnTime();
    }
    return turn_time_;
  }
  MonoTime PreciseNow() const override { return outrigger::PreciseNow(); }
  absl::Time WallNow() const override { return absl::Now(); }

  // Turns until Stop().
  void Run();
  // Runs what is deferred, without waiting for events; for the end, when Run() has returned.
  void RunPending() {
    while (RunDeferred()) {
    }
  }
  // Ends Run() after the current turn. Any thread; kept when it comes before Run().
  void Stop();
  void Post(absl::AnyInvocable<void()> message) override;
  // The thread is the one that calls Run(), and before that the one that made the loop.
  bool IsOnThread() const override {
    return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  // When the last turn ended; read by the liveness check of the admin thread.
  MonoTime last_turn() const {
    return MonoTime::FromNanos(last_turn_nanos_.load(std::memory_order_relaxed));
  }

  event_base* base() const { return base_.get(); }
  // For sockets.
  Poller& poller() { return *poller_; }

 private:
  struct BaseDeleter {
    void operator()(event_base* base) const { event_base_free(base); }
  };
  struct EventDeleter {
    void operator()(event* event) const { event_free(event); }
  };
  using EventPtr = std::unique_ptr<event, EventDeleter>;

  void WakeAt(MonoTime when) override;
  void OnMessages();
  MonoTime ReadTurnTime() const;

  std::unique_ptr<event_base, BaseDeleter> base_;
  std::unique_ptr<Poller> poller_;
  EventPtr timer_event_;
  EventPtr message_event_;
  EventPtr heartbeat_event_;
  int message_fd_ = -1;
  mutable MonoTime turn_time_;  // zero: not read yet in this turn
  bool is_running_ = false;
  std::atomic<bool> is_stopping_{false};
  std::atomic<std::thread::id> thread_{std::this_thread::get_id()};
  std::atomic<int64_t> last_turn_nanos_{0};

  std::mutex mutex_;  // guards messages_
  std::vector<absl::AnyInvocable<void()>> messages_;
};

}  // namespace outrigger
