#include "proxy/net/listener.h"

#include <event2/event.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace outrigger::net {
namespace {

constexpr int kBacklog = 4096;
// Connections taken in one turn, so that a flood of them leaves time for those that are here.
constexpr int kAcceptsPerTurn = 16;
constexpr absl::Duration kExhaustedPause = absl::Milliseconds(100);
// What a connection may hold in the kernel for a client that reads slowly, where it counts as memory
// of the pod (semantics LM-8): bytes on their way and bytes that wait. The system would let them grow
// to megabytes each. Enough for 2 MB/s over 100 ms; the system may set a lower bound of its own.
constexpr int kSendBufferBytes = 256 * 1024;
constexpr int kUnsentBytes = 128 * 1024;

absl::Status Failed(const char* what, const SocketAddress& address) {
  return absl::UnavailableError(
      fmt::format("cannot {} {}: {}", what, address.ToString(), std::strerror(errno)));
}

const char* PathOf(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_un*>(address.get())->sun_path;
}

// A socket file that nobody listens on is a leftover of a process that died. Connecting to a file
// of another kind is refused as well, and a full backlog must not make us wait.
bool IsStaleUnixSocket(const SocketAddress& address) {
  struct stat info {};
  if (lstat(PathOf(address), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool is_refused =
      connect(probe, address.get(), address.length()) != 0 && errno == ECONNREFUSED;
  close(probe);
  return is_refused;
}

}  // namespace

class Listener::RetryTimer final : public Timer {
 public:
  RetryTimer(Loop& loop, event* event) : Timer(loop), event_(event) {}

 private:
  void OnTimer() override { event_add(event_, nullptr); }
  event* event_;
};

absl::Status Listener::CheckFree(const SocketAddress& address) {
  if (address.is_unix() || address.port() == 0) return absl::OkStatus();
  // Without SO_REUSEPORT; with SO_REUSEADDR connections that are closing do not count.
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed("make a socket for", address);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  absl::Status status;
  if (bind(fd, address.get(), address.length()) != 0) status = Failed("listen on", address);
  close(fd);
  return status;
}

absl::StatusOr<int> Listener::Open(const SocketAddress& address) {
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed("make a socket for", address);
  const int on = 1;
  if (address.is_unix()) {
    if (IsStaleUnixSocket(address)) unlink(PathOf(address));
  } else {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    // Inherited by accepted sockets: calls here instead of for each connection.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes, sizeof kUnsentBytes);
  }
  if (bind(fd, address.get(), address.length()) != 0 || listen(fd, kBacklog) != 0) {
    const absl::Status failed = Failed("listen on", address);
    close(fd);
    return failed;
  }
  return fd;
}

Listener::Listener(EventLoop& loop, int fd, Callbacks callbacks)
    : loop_(loop), fd_(fd), callbacks_(std::move(callbacks)) {
  event_ = event_new(
      loop.base(), fd, EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<Listener*>(self)->OnReadable(); }, this);
  event_add(event_, nullptr);
}

Listener::~Listener() { Close(); }

void Listener::Close() {
  if (fd_ < 0) return;
  retry_timer_.reset();
  event_free(std::exchange(event_, nullptr));
  close(std::exchange(fd_, -1));
}

SocketAddress Listener::AddressOf(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length);
  return {reinterpret_cast<sockaddr*>(&storage), length};
}

int Listener::Duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

void Listener::TakeRestAndClose() {
  (void)AcceptWaiting(kBacklog);
  Close();
}

void Listener::OnReadable() {
  const int error = AcceptWaiting(kAcceptsPerTurn);
  if (error == 0) return;
  // The connection stays in the backlog; without a pause the loop would spin on it.
  event_del(event_);
  if (retry_timer_ == nullptr) retry_timer_ = std::make_unique<RetryTimer>(loop_, event_);
  retry_timer_->Arm(loop_.Now() + kExhaustedPause);
  callbacks_.on_exhausted(error);
}

int Listener::AcceptWaiting(int most) {
  for (int taken = 0; taken < most && fd_ >= 0; ++taken) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    const int fd =
        accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      callbacks_.on_accept(fd, {reinterpret_cast<sockaddr*>(&peer), length});
      continue;
    }
    const int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) return error;
    if (error != ECONNABORTED && error != EINTR) return 0;  // EAGAIN: no more
  }
  return 0;
}

}  // namespace outrigger::net
