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

void Socket::StartTls(std::unique_ptr<SecureSession> session, bool is_client) {
  const bool begins = is_client || session->is_established();
  secure_ = std::make_unique<SecureLayer>(*this, std::move(session));
  Register();
  if (begins) secure_->Begin();
}

std::unique_ptr<SecureSession> Socket::ReleaseTls() {
  return secure_ != nullptr ? secure_->Release() : nullptr;
}

uint32_t Socket::WantedEvents() const {
  // The encryption asks the kernel again for what it has left there.
  const bool is_edge_triggered = secure_ == nullptr || is_paused_;
  const bool wants_write = secure_ != nullptr ? secure_->WantsWrite(wants_write_) : wants_write_;
  return EPOLLIN | EPOLLRDHUP | (is_edge_triggered ? EPOLLET : 0u) | (wants_write ? EPOLLOUT : 0u);
}

void Socket::Register() { loop_.poller().Change(fd_, WantedEvents(), *this); }

// Handlers may close the socket, never destroy it here.
void Socket::OnPolled(uint32_t events) {
  // A connection that broke is met by reading and by writing alike.
  const bool is_broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  const bool has_ended = is_broken || (events & EPOLLRDHUP) != 0;
  const bool is_readable = has_ended || (events & EPOLLIN) != 0;
  if (secure_ != nullptr) [[unlikely]] {
    const bool is_writable = is_broken || (events & EPOLLOUT) != 0;
    secure_->OnEvent(is_readable, is_writable, has_ended);
    return;
  }
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
  if (secure_ != nullptr) [[unlikely]] {
    return secure_->Receive(data, size);
  }
  return ReceivePlain(data, size);
}

IoResult Socket::ReceivePlain(char* data, size_t size) {
  const IoResult result = ToResult(SystemReceive(fd_, data, size));
  // Whatever comes after a buffer that was not filled is told of by a new event; the peer's end
  // may have been told of already.
  const bool is_full = result.status == IoStatus::kOk && result.bytes == size;
  may_have_more_ = is_full || (result.status == IoStatus::kOk && has_peer_closed_);
  return result;
}

IoResult Socket::Send(std::string_view data) {
  if (secure_ != nullptr) [[unlikely]] {
    const iovec part{const_cast<char*>(data.data()), data.size()};
    return secure_->Send(&part, 1);
  }
  return ToResult(SystemSend(fd_, data));
}

IoResult Socket::Send(const iovec* parts, int count) {
  if (secure_ != nullptr) [[unlikely]] {
    return secure_->Send(parts, count);
  }
  return SendPlain(parts, count);
}

IoResult Socket::SendPlain(const iovec* parts, int count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  return ToResult(sendmsg(fd_, &message, MSG_NOSIGNAL));
}

void Socket::WantWrite(bool want) {
  if (want == wants_write_ || fd_ < 0) return;
  wants_write_ = want;
  Register();
}

void Socket::ResumeReading() {
  is_paused_ = false;
  if (secure_ != nullptr) [[unlikely]] {
    Register();
    secure_->OnResumed();
    return;
  }
  ReadOn();
}

void Socket::Close(bool with_reset) {
  if (fd_ < 0) return;
  loop_.poller().Remove(fd_, *this);
  Deferred::Unlink();
  if (secure_ != nullptr) secure_->Close(/*is_orderly=*/!with_reset);
  if (with_reset) {
    const linger now = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  close(std::exchange(fd_, -1));
}

void Socket::ShutdownWrite() {
  if (secure_ != nullptr) secure_->SendClose();
  shutdown(fd_, SHUT_WR);
}

int Socket::Release() {
  loop_.poller().Remove(fd_, *this);
  Deferred::Unlink();
  return std::exchange(fd_, -1);
}

int Socket::TakeError() const {
  if (secure_ != nullptr && secure_->has_failed()) return EPROTO;
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
