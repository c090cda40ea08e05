// A non-blocking stream socket on a worker's loop.
//
//   class Connection : net::SocketHandler { net::Socket socket_{loop, fd, *this}; ... };
//
// The handler is called as long as there is something to read, once a turn. Below, the socket is
// registered once and edge-triggered: in steady state a request costs no epoll_ctl, and the kernel
// does not look a second time whether a socket that was just read is still readable (0.4 us a
// request). A receive that fills its buffer, or follows the peer's end, is therefore followed by
// another call without asking the kernel.
//
// Write first and call WantWrite(true) only after EAGAIN. PauseReading() stops the calls while
// bytes wait in the kernel (back-pressure) but still reports a peer that goes away; both it and
// ResumeReading() cost nothing.
//
// Owns the file descriptor. One worker. Callbacks come from the loop; a handler that is done with
// the socket hands its owner to Loop::DeferDelete.

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string_view>

#include "proxy/event/event_loop.h"
#include "proxy/net/address.h"

namespace outrigger::net {

class SocketHandler {
 public:
  virtual ~SocketHandler() = default;
  // Bytes, the end of the stream or an error can be read.
  virtual void OnReadable() = 0;
  // Only after WantWrite(true).
  virtual void OnWritable() = 0;
  // The peer has closed its side (EPOLLRDHUP) or the connection broke, possibly with bytes still
  // unread. Called after OnReadable() of the same event.
  virtual void OnPeerClosed() = 0;
};

enum class IoStatus : uint8_t { kOk, kAgain, kEnd, kError };

struct IoResult {
  IoStatus status = IoStatus::kOk;
  size_t bytes = 0;
  int error = 0;  // errno of kError
};

class Socket final : private Deferred, private Poller::Handler {
 public:
  // Takes the descriptor, which is non-blocking, and starts reading.
  Socket(EventLoop& loop, int fd, SocketHandler& handler);
  ~Socket() override;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  IoResult Receive(char* data, size_t size);
  IoResult Send(std::string_view data);
  IoResult Send(const iovec* parts, int count);

  void WantWrite(bool want);
  void PauseReading() { is_paused_ = true; }
  void ResumeReading();
  bool is_reading_paused() const { return is_paused_; }

  // Unregisters and closes. `with_reset`: the peer sees RST instead of an orderly end, so that it
  // cannot take a cut body for a complete one.
  void Close(bool with_reset = false);
  // Unregisters and gives the descriptor to the caller.
  int Release();
  bool is_open() const { return fd_ >= 0; }
  // Sends FIN; reading goes on.
  void ShutdownWrite();
  int fd() const { return fd_; }
  // errno of a connection attempt, once writable.
  int TakeError() const;

 private:
  uint32_t WantedEvents() const;
  void OnPolled(uint32_t events) override;
  // Goes on reading what no further event will tell of.
  void RunDeferred() override;
  void ReadOn();

  EventLoop& loop_;
  SocketHandler& handler_;
  int fd_;
  bool is_paused_ = false;
  bool wants_write_ = false;
  bool may_have_more_ = false;  // the kernel, since its last event
  bool has_peer_closed_ = false;
};

// A new non-blocking socket on its way to `address`: the descriptor, or -errno. The outcome is
// known when it becomes writable.
int StartConnect(const SocketAddress& address);

}  // namespace outrigger::net
