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
// ResumeReading() cost nothing (with TLS, a system call).
//
// With StartTls() the bytes are encrypted: the handshake runs before the handler hears of anything,
// then OnSecured() is called; a handshake that fails shows as a connection that broke.
//
// Owns the file descriptor. One worker. Callbacks come from the loop; a handler that is done with
// the socket hands its owner to Loop::DeferDelete.

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/event/event_loop.h"
#include "proxy/net/address.h"
#include "proxy/net/io_result.h"
#include "proxy/net/secure_layer.h"

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
  // The TLS handshake is done; only after StartTls().
  virtual void OnSecured() {}
};

class Socket final : private Deferred, private Poller::Handler {
 public:
  // Takes the descriptor, which is non-blocking, and starts reading.
  Socket(EventLoop& loop, int fd, SocketHandler& handler);
  ~Socket() override;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Encrypts from here on. `is_client`: this side begins the handshake.
  // REQUIRES: nothing was received or sent yet, unless it was through `session`, which is one of
  // fd().
  void StartTls(std::unique_ptr<SecureSession> session, bool is_client);
  // Null: the connection is not encrypted. Valid as long as this object.
  const SecureSession* secure_session() const { return secure_ ? &secure_->session() : nullptr; }
  bool is_handshaking() const { return secure_ != nullptr && secure_->is_handshaking(); }

  // After a handshake that failed because the client does not encrypt: whether it has, and then the
  // rest of the connection is plain, for an answer that says so.
  bool FallBackToPlain() { return secure_ != nullptr && secure_->FallBackToPlain(); }

  IoResult Receive(char* data, size_t size);
  IoResult Send(std::string_view data);
  IoResult Send(const iovec* parts, int count);

  void WantWrite(bool want);
  void PauseReading() {
    is_paused_ = true;
    if (secure_ != nullptr) Register();
  }
  void ResumeReading();
  bool is_reading_paused() const { return is_paused_; }

  // Unregisters and closes. `with_reset`: the peer sees RST instead of an orderly end, so that it
  // cannot take a cut body for a complete one.
  void Close(bool with_reset = false);
  // Unregisters and gives the descriptor to the caller.
  int Release();
  // The same for its TLS, before Release(). Null: the connection is plain.
  std::unique_ptr<SecureSession> ReleaseTls();
  bool is_open() const { return fd_ >= 0; }
  // Sends FIN, after the close_notify of TLS; reading goes on.
  void ShutdownWrite();
  int fd() const { return fd_; }
  // errno of a connection attempt, once writable; EPROTO after a handshake that failed.
  int TakeError() const;

 private:
  friend class SecureLayer;

  uint32_t WantedEvents() const;
  void Register();
  void OnPolled(uint32_t events) override;
  IoResult ReceivePlain(char* data, size_t size);
  IoResult SendPlain(const iovec* parts, int count);
  // Goes on reading what no further event will tell of.
  void RunDeferred() override;
  void ReadOn();

  EventLoop& loop_;
  SocketHandler& handler_;
  std::unique_ptr<SecureLayer> secure_;
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
