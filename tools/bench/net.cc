#include "tools/bench/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace outrigger::bench {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

void OnStopSignal(int /*signal*/) { stop_requested = 1; }

void DisableNagle(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void Die(std::string_view what) {
  const int error = errno;
  std::fprintf(stderr, "%.*s%s%s\n", static_cast<int>(what.size()), what.data(),
               error != 0 ? ": " : "", error != 0 ? std::strerror(error) : "");
  std::exit(1);
}

void Socket::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::optional<sockaddr_in> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  address.sin_port = htons(port);
  const std::string host(text.substr(0, colon));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return std::nullopt;
  return address;
}

std::string ToString(const sockaddr_in& address) {
  char host[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
  return std::string(host) + ":" + std::to_string(ntohs(address.sin_port));
}

Socket ListenTcp(const sockaddr_in& address) {
  Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!listener.is_open() ||
      setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.fd(), SOMAXCONN) != 0) {
    Die("cannot listen on " + ToString(address));
  }
  return listener;
}

sockaddr_in LocalAddress(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) Die("getsockname");
  return address;
}

Socket AcceptTcp(int listener) {
  Socket accepted(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (accepted.is_open()) DisableNagle(accepted.fd());
  return accepted;
}

Socket StartConnect(const sockaddr_in& address) {
  Socket result(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!result.is_open()) return result;
  DisableNagle(result.fd());
  if (connect(result.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    result.Close();
  }
  return result;
}

Socket ConnectNow(const sockaddr_in& address) {
  Socket result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!result.is_open()) return result;
  DisableNagle(result.fd());
  const timeval patience{5, 0};
  setsockopt(result.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(result.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      fcntl(result.fd(), F_SETFL, O_NONBLOCK) != 0) {
    result.Close();
  }
  return result;
}

Epoll::Epoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!fd_.is_open()) Die("epoll_create1");
  sigemptyset(&let_in_);
}

void Epoll::Add(int fd, uint32_t events, void* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  if (epoll_ctl(fd_.fd(), EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl add");
}

void Epoll::Modify(int fd, uint32_t events, void* owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = owner;
  if (epoll_ctl(fd_.fd(), EPOLL_CTL_MOD, fd, &event) != 0) Die("epoll_ctl mod");
}

std::span<epoll_event> Epoll::Wait(int64_t timeout_ns) {
  // Stop signals are let in only here, so that none falls between the caller's StopRequested() and
  // the wait that it should have interrupted.
  int count = 0;
  if (timeout_ns < 0) {
    count = epoll_pwait(fd_.fd(), events_, kMaxEvents, -1, &let_in_);
  } else {
    const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
    count = epoll_pwait2(fd_.fd(), events_, kMaxEvents, &timeout, &let_in_);
  }
  if (count < 0 && errno != EINTR) Die("epoll_wait");
  return {events_, count > 0 ? static_cast<size_t>(count) : 0};
}

void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void InstallStopSignals() {
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  sigprocmask(SIG_BLOCK, &stop_signals, nullptr);
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  // Timers of the programs are in the microseconds; the default slack is 50 us.
  prctl(PR_SET_TIMERSLACK, 1UL);
}

void PrepareToServe() {
  RaiseFileLimit();
  InstallStopSignals();
}

bool StopRequested() { return stop_requested != 0; }

int64_t NowNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace outrigger::bench
