// Edge-triggered readiness of a worker's sockets: an epoll set of its own that the worker's
// libevent base watches as one descriptor.
//
//   class Socket : Poller::Handler { ... };
//   if (!loop.poller().Add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, *this)) ...
//   loop.poller().Remove(fd, *this);
//
// libevent 2.1 folds EPOLLERR and EPOLLHUP into "readable and writable". Edge-triggered, a reset
// that arrives together with bytes could then not be told from the bytes alone, and nothing would
// tell of it again. Level-triggered, the kernel looks at every socket a second time after each
// event (0.4 us a request). Timers, listeners, signals and everything rare stay with libevent.
//
// The loop's thread only. A handler may add and remove itself and others while it is called; it is
// removed before it is destroyed.

#pragma once

#include <event2/event.h>
#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>

namespace outrigger {

class Poller {
 public:
  class Handler {
   public:
    // `events`: EPOLL* bits.
    virtual void OnPolled(uint32_t events) = 0;

   protected:
    ~Handler() = default;
  };

  explicit Poller(event_base& base);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // False when the kernel has no room for another descriptor (epoll(7), max_user_watches).
  [[nodiscard]] bool Add(int fd, uint32_t events, Handler& handler);
  void Change(int fd, uint32_t events, Handler& handler);
  void Remove(int fd, Handler& handler);

 private:
  static constexpr int kBatch = 64;

  void Dispatch();

  struct EventDeleter {
    void operator()(event* of) const { event_free(of); }
  };

  int epoll_fd_;
  std::unique_ptr<event, EventDeleter> event_;
  // Being dispatched: what stands before next_ has been.
  std::array<epoll_event, kBatch> batch_;
  int next_ = 0;
  int count_ = 0;
};

}  // namespace outrigger
