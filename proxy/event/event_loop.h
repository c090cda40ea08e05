// The loop of one worker: sockets, timers, deferred work, messages from other threads, and a
// libevent base for everything rare.
//
//   EventLoop loop;
//   loop.Post([&] { ... });        // from any thread: runs on the loop's thread
//   loop.Run();                    // until Stop()
//
// A turn waits once, in the Poller's epoll set, which has libevent's own set in it: the base runs
// when it has something to do, and a message between two sockets costs it nothing.
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

class EventLoop final : public Loop, private Poller::Handler {
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
  // One turn that does not wait.
  void RunOnce() { Turn(0); }
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

  // For descriptors and signals. Its own timers would come late: time is Timer's.
  event_base* base() const { return base_.get(); }
  // For sockets.
  Poller& poller() { return poller_; }

 private:
  struct BaseDeleter {
    void operator()(event_base* base) const { event_base_free(base); }
  };
  struct EventDeleter {
    void operator()(event* event) const { event_free(event); }
  };
  using EventPtr = std::unique_ptr<event, EventDeleter>;

  // libevent's own set is ready.
  void OnPolled(uint32_t) override { event_base_loop(base_.get(), EVLOOP_ONCE | EVLOOP_NONBLOCK); }
  void WakeAt(MonoTime when) override { wake_at_ = when; }
  // Waits that long at most. True when the next turn must not wait.
  bool Turn(int milliseconds);
  int MillisecondsToWait() const;
  void OnMessages();
  MonoTime ReadTurnTime() const;

  std::unique_ptr<event_base, BaseDeleter> base_;
  Poller poller_;
  EventPtr message_event_;
  int message_fd_ = -1;
  MonoTime wake_at_ = MonoTime::Infinite();  // when the earliest timer is due
  mutable MonoTime turn_time_;               // zero: not read yet in this turn
  bool is_running_ = false;
  std::atomic<bool> is_stopping_{false};
  std::atomic<std::thread::id> thread_{std::this_thread::get_id()};
  std::atomic<int64_t> last_turn_nanos_{0};

  std::mutex mutex_;  // guards messages_
  std::vector<absl::AnyInvocable<void()>> messages_;
};

}  // namespace outrigger
