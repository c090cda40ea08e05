// Sockets for the tests of this folder: connected pairs and a loop that runs until something holds.

#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

#include "proxy/event/event_loop.h"
#include "proxy/net/address.h"
#include "proxy/net/listener.h"
#include "proxy/net/socket.h"

namespace outrigger::net {

// Closes its descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}

  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

#if defined(OUTRIGGER_HAS_UBSAN)
inline constexpr bool kHasUbsan = true;
#else
inline constexpr bool kHasUbsan = false;
#endif

// No descriptor can be opened while it lives; those that are open stay usable.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 3;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
};

struct Connected {
  int ours = -1;  // non-blocking; for a Socket, which owns it
  Fd peer;        // non-blocking
};

inline Connected UnixPair(int send_buffer_bytes = 0) {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  if (send_buffer_bytes > 0) {
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
  }
  return {fds[0], Fd(fds[1])};
}

// Through loopback TCP, which knows resets.
inline Connected TcpPair() {
  const SocketAddress any = SocketAddress::FromIp("127.0.0.1", 0).value();
  const Fd listening(Listener::Open(any).value());
  Fd peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress address = Listener::AddressOf(listening.get());
  EXPECT_EQ(connect(peer.get(), address.get(), address.length()), 0);
  fcntl(listening.get(), F_SETFL, 0);  // wait for the connection
  const int ours = accept4(listening.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  EXPECT_GE(ours, 0);
  fcntl(peer.get(), F_SETFL, O_NONBLOCK);
  return {ours, std::move(peer)};
}

// Everything that can be read now.
inline std::string ReadAvailable(int fd, size_t most = ~size_t{0}) {
  std::string text;
  char buffer[64 * 1024];
  while (text.size() < most) {
    const ssize_t count = recv(fd, buffer, std::min(sizeof buffer, most - text.size()), 0);
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

inline void ResetBy(Fd& fd) {
  const linger now = {1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  fd.Close();
}

class LoopTimer final : public Timer {
 public:
  LoopTimer(Loop& loop, std::function<void()> on_timer)
      : Timer(loop), on_timer_(std::move(on_timer)) {}

 private:
  void OnTimer() override { on_timer_(); }

  std::function<void()> on_timer_;
};

// Turns until `is_done`, asked every millisecond; false after five seconds.
inline bool RunUntil(EventLoop& loop, const std::function<bool()>& is_done) {
  const MonoTime give_up = loop.Now() + absl::Seconds(5);
  bool done = false;
  LoopTimer* self = nullptr;
  LoopTimer timer(loop, [&] {
    done = is_done();
    if (done || loop.Now() >= give_up) {
      loop.Stop();
    } else {
      self->Arm(loop.Now() + absl::Milliseconds(1));
    }
  });
  self = &timer;
  timer.Arm(loop.Now());
  loop.Run();
  return done;
}

// Turns for a while, to see that something does not happen.
inline void RunFor(EventLoop& loop, absl::Duration duration) {
  LoopTimer timer(loop, [&loop] { loop.Stop(); });
  timer.Arm(loop.Now() + duration);
  loop.Run();
}

// Counts its calls.
struct CountingHandler : SocketHandler {
  void OnReadable() override {
    ++readable;
    if (on_readable) on_readable();
  }
  void OnWritable() override {
    ++writable;
    if (on_writable) on_writable();
  }
  void OnPeerClosed() override {
    ++peer_closed;
    if (on_peer_closed) on_peer_closed();
  }

  int readable = 0;
  int writable = 0;
  int peer_closed = 0;
  std::function<void()> on_readable;
  std::function<void()> on_writable;
  std::function<void()> on_peer_closed;
};

}  // namespace outrigger::net
