// Accepts connections for one worker.
//
//   absl::StatusOr<int> fd = Listener::Open(address);
//   Listener listener(loop, *fd, {.on_accept = ..., .on_exhausted = ...});
//
// Every worker binds its own socket to the address with SO_REUSEPORT, and the kernel spreads the
// connections; a unix socket is bound once and its descriptor duplicated. When the process runs
// out of descriptors, accepting pauses for a moment and `on_exhausted` is told, so that running
// requests go on (and the log says why nobody new gets in).
//
// One worker. Closing is final; accepted connections are not touched.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proxy/event/event_loop.h"
#include "proxy/net/address.h"

namespace outrigger::net {

class Listener {
 public:
  struct Callbacks {
    // Owns the descriptor, which is non-blocking.
    std::function<void(int fd, const SocketAddress& peer)> on_accept;
    // accept() failed for lack of descriptors or memory: errno.
    std::function<void(int error)> on_exhausted;
  };

  // A bound, listening descriptor. Errors: name the address and what the system said.
  static absl::StatusOr<int> Open(const SocketAddress& address);

  // An error when somebody, also of this user, listens there already.
  static absl::Status CheckFree(const SocketAddress& address);
  // With the port that the system chose when 0 was asked for.
  static SocketAddress AddressOf(int fd);
  // A second descriptor of the same socket, for another worker.
  static int Duplicate(int fd);

  // Takes `fd`, from Open().
  Listener(EventLoop& loop, int fd, Callbacks callbacks);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void Close();
  // Accepts whoever has connected already, whom the system would reset, and closes.
  void TakeRestAndClose();

 private:
  class RetryTimer;
  void OnReadable();
  // What is waiting, `most` at once; 0, or the errno of a lack of descriptors or memory.
  int AcceptWaiting(int most);

  EventLoop& loop_;
  int fd_;
  Callbacks callbacks_;
  event* event_ = nullptr;
  std::unique_ptr<RetryTimer> retry_timer_;
};

}  // namespace outrigger::net
