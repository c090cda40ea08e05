#include "proxy/net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace outrigger::net {
namespace {

IoResult ToResult(ssize_t count) {
  if (count > 0) return {.status = IoStatus::kOk, .bytes = static_cast<size_t>(count)};
  if (count == 0) return {.status = IoStatus::kEnd};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
    return {.status = IoStatus::kAgain};
  }
  return {.status = IoStatus::kError, .error = errno};
}

// recv() and send() of the C library are points where a thread may be cancelled, which costs two
// atomic operations each in a process with several threads. No thread is ever cancelled here.
// Sanitizers watch the library's calls, so builds with them keep those.
#ifdef NDEBUG
ssize_t SystemReceive(int fd, char* data, size_t size) {
  return syscall(SYS_recvfrom, fd, data, size, 0, nullptr, nullptr);
}
ssize_t SystemSend(int fd, std::string_view data) {
  return syscall(SYS_sendto, fd, data.data(), data.size(), MSG_NOSIGNAL, nullptr, 0);
}
#else
ssize_t SystemReceive(int fd, char* data, size_t size) { return recv(fd, data, size, 0); }
ssize_t SystemSend(int fd, std::string_view data) {
  return send(fd, data.data(), data.size(), MSG_NOSIGNAL);
}
#endif

}  // namespace

Socket::Socket(EventLoop& loop, int fd, SocketHandler& handler)
    : loop_(loop), handler_(handler), fd_(fd) {
  if (loop_.poller().Add(fd_, WantedEvents(), *this)) return;
  // Nothing would ever be heard of it: it ends like a connection whose peer has left.
  shutdown(fd_, SHUT_RDWR);
  may_have_more_ = has_peer_closed_ = true;
  loop_.Defer(*this);
}

Socket::~Socket() { Close(); }

uint32_t Socket::WantedEvents() const {
  const uint32_t reading = EPOLLIN | EPOLLRDHUP | EPOLLET;
  return wants_write_ ? reading | EPOLLOUT : reading;
}

// Handlers may close the socket, never destroy it here.
void Socket::OnPolled(uint32_t events) {
  // A connection that broke is met by reading and by writing alike.
  const bool is_broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  const bool has_ended = is_broken || (events & EPOLLRDHUP) != 0;
  const bool is_readable = has_ended || (events & EPOLLIN) != 0;
  if (is_readable) may_have_more_ = true;
  if (has_ended) has_peer_closed_ = true;
  if (wants_write_ && (is_broken || (events & EPOLLOUT) != 0)) handler_.OnWritable();
  if (is_readable && !is_paused_ && fd_ >= 0) handler_.OnReadable();
  if (has_ended && fd_ >= 0) handler_.OnPeerClosed();
  ReadOn();
}

void Socket::ReadOn() {
  if (may_have_more_ && !is_paused_ && fd_ >= 0) loop_.Defer(*this);
}

void Socket::RunDeferred() {
  if (!may_have_more_ || is_paused_ || fd_ < 0) return;
  handler_.OnReadable();
  ReadOn();
}

IoResult Socket::Receive(char* data, size_t size) {
  const IoResult result = ToResult(SystemReceive(fd_, data, size));
  // Whatever comes after a buffer that was not filled is told of by a new event; the peer's end
  // may have been told of already.
  const bool is_full = result.status == IoStatus::kOk && result.bytes == size;
  may_have_more_ = is_full || (result.status == IoStatus::kOk && has_peer_closed_);
  return result;
}

IoResult Socket::Send(std::string_view data) { return ToResult(SystemSend(fd_, data)); }

IoResult Socket::Send(const iovec* parts, int count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  return ToResult(sendmsg(fd_, &message, MSG_NOSIGNAL));
}

void Socket::WantWrite(bool want) {
  if (want == wants_write_ || fd_ < 0) return;
  wants_write_ = want;
  loop_.poller().Change(fd_, WantedEvents(), *this);
}

void Socket::ResumeReading() {
  is_paused_ = false;
  ReadOn();
}

void Socket::Close(bool with_reset) {
  if (fd_ < 0) return;
  loop_.poller().Remove(fd_, *this);
  Deferred::Unlink();
  if (with_reset) {
    const linger now = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  close(std::exchange(fd_, -1));
}

int Socket::Release() {
  loop_.poller().Remove(fd_, *this);
  Deferred::Unlink();
  return std::exchange(fd_, -1);
}

void Socket::ShutdownWrite() { shutdown(fd_, SHUT_WR); }

int Socket::TakeError() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

int StartConnect(const SocketAddress& address) {
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (!address.is_unix()) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  // A unix socket whose backlog is full answers EAGAIN and will not become writable later.
  if (connect(fd, address.get(), address.length()) != 0 && errno != EINPROGRESS) {
    const int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

}  // namespace outrigger::net
