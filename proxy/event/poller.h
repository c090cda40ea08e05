// The epoll set that a worker waits in: its sockets, edge-triggered, and libevent's own set for
// everything rare (listeners, signals, files, the resolver).
//
//   class Socket : Poller::Handler { ... };
//   if (!loop.poller().Add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, *this)) ...
//   loop.poller().Remove(fd, *this);
//
// libevent 2.1 folds EPOLLERR and EPOLLHUP into "readable and writable". Edge-triggered, a reset
// that arrives together with bytes could then not be told from the bytes alone, and nothing would
// tell of it again. Level-triggered, the kernel looks at every socket a second time after each
// event (0.4 us a request).
//
// The loop's thread only. A handler may add and remove itself and others while it is called; it is
// removed before it is destroyed.

#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>

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

  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // False when the kernel has no room for another descriptor (epoll(7), max_user_watches).
  [[nodiscard]] bool Add(int fd, uint32_t events, Handler& handler);
  void Change(int fd, uint32_t events, Handler& handler);
  void Remove(int fd, Handler& handler);

  // Calls the handlers of what has happened; waits for something to happen, but no longer than
  // `milliseconds`. What does not fit into one batch is met by the next call.
  void Wait(int milliseconds);

 private:
  static constexpr int kBatch = 64;

  const int epoll_fd_;
  // Being dispatched: what stands before next_ has been.
  std::array<epoll_event, kBatch> batch_;
  int next_ = 0;
  int count_ = 0;
};

}  // namespace outrigger
