// Loopback sockets and small process helpers shared by the bench programs.
//
//   Socket listener = ListenTcp(*ParseAddress("127.0.0.1:0"));
//   std::printf("%s\n", ToString(LocalAddress(listener.fd())).c_str());
//
// The programs are measuring instruments for one machine: single-threaded, IPv4 only, and a failure
// that leaves nothing to measure ends the process through Die().

#pragma once

#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace outrigger::bench {

// Prints `what`, with the text of errno when it is set, and exits with status 1.
[[noreturn]] void Die(std::string_view what);

// Owns a file descriptor and closes it.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Socket() { Close(); }

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

// "127.0.0.1:8000". Names are not resolved.
std::optional<sockaddr_in> ParseAddress(std::string_view text);
std::string ToString(const sockaddr_in& address);

// Non-blocking listening socket. Dies when the address cannot be bound.
Socket ListenTcp(const sockaddr_in& address);
sockaddr_in LocalAddress(int fd);
// Accepts one connection (non-blocking, without Nagle); not open when there is none.
Socket AcceptTcp(int listener);
// Starts a non-blocking connection; a failure is reported by the first send or recv.
Socket StartConnect(const sockaddr_in& address);
// Connects before it returns, then makes the socket non-blocking; not open on failure.
Socket ConnectNow(const sockaddr_in& address);

// A level-triggered epoll set. `owner` comes back in epoll_event::data.ptr.
class Epoll {
 public:
  Epoll();
  void Add(int fd, uint32_t events, void* owner);
  void Modify(int fd, uint32_t events, void* owner);
  // Waits up to `timeout_ns` (negative: for ever, or until a signal). The span is valid until the
  // next call.
  std::span<epoll_event> Wait(int64_t timeout_ns);

 private:
  static constexpr int kMaxEvents = 256;
  Socket fd_;
  epoll_event events_[kMaxEvents];
  sigset_t let_in_;
};

// Raises the soft limit of open files to the hard one.
void RaiseFileLimit();
// After this call SIGTERM and SIGINT are held back until Epoll::Wait, which they interrupt; from
// then on StopRequested() is true.
void InstallStopSignals();
bool StopRequested();
// RaiseFileLimit() and InstallStopSignals(), for a program that Serve() runs.
void PrepareToServe();
// Says where `program` listens, runs it until a stop is requested, and returns the exit status.
template <typename Program>
int Serve(Program& program) {
  std::printf("listening %s\n", ToString(program.address()).c_str());
  std::fflush(stdout);
  program.Run();
  return 0;
}
// CLOCK_MONOTONIC, the same clock in every process of the machine.
int64_t NowNanos();

}  // namespace outrigger::bench
