#include "proxy/net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
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

}  // namespace

Socket::Socket(EventLoop& loop, int fd, SocketHandler& handler)
    : loop_(loop), handler_(handler), event_{}, fd_(fd) {
  Register();
}

Socket::~Socket() { Close(); }

void Socket::StartTls(std::unique_ptr<SecureSession> session, bool is_client) {
  secure_ = std::make_unique<SecureLayer>(*this, std::move(session));
  Register();
  if (is_client) secure_->Begin();
}

bool Socket::IsPeerGone() const {
  pollfd poll_fd{fd_, POLLRDHUP, 0};
  return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

// Paused sockets are registered edge-triggered: level-triggered they would report the waiting bytes
// on every turn, and without EV_READ libevent would not pass on the error of a reset.
void Socket::Register() {
  if (event_initialized(&event_)) event_del(&event_);
  short what = EV_READ | EV_CLOSED | EV_PERSIST;
  if (is_paused_) what |= EV_ET;
  if (secure_ != nullptr ? secure_->WantsWrite(wants_write_) : wants_write_) what |= EV_WRITE;
  event_assign(
      &event_, loop_.base(), fd_, what,
      [](evutil_socket_t, short events, void* self) {
        static_cast<Socket*>(self)->OnEvent(events);
      },
      this);
  event_add(&event_, nullptr);
}

void Socket::OnEvent(short what) {
  // Handlers may close the socket, never destroy it here.
  if (secure_ != nullptr) [[unlikely]] {
    secure_->OnEvent(what);
    return;
  }
  if ((what & EV_WRITE) != 0 && wants_write_) handler_.OnWritable();
  if ((what & EV_READ) != 0 && fd_ >= 0) {
    if (!is_paused_) {
      handler_.OnReadable();
    } else if ((what & EV_CLOSED) == 0 && IsPeerGone()) {
      what |= EV_CLOSED;
    }
  }
  if ((what & EV_CLOSED) != 0 && fd_ >= 0) handler_.OnPeerClosed();
}

IoResult Socket::Receive(char* data, size_t size) {
  if (secure_ != nullptr) [[unlikely]] {
    return secure_->Receive(data, size);
  }
  return ReceivePlain(data, size);
}

IoResult Socket::ReceivePlain(char* data, size_t size) {
  return ToResult(recv(fd_, data, size, 0));
}

IoResult Socket::Send(std::string_view data) {
  if (secure_ != nullptr) [[unlikely]] {
    const iovec part{const_cast<char*>(data.data()), data.size()};
    return secure_->Send(&part, 1);
  }
  return ToResult(send(fd_, data.data(), data.size(), MSG_NOSIGNAL));
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

void Socket::PauseReading() {
  if (is_paused_ || fd_ < 0) return;
  is_paused_ = true;
  Register();
}

void Socket::ResumeReading() {
  if (!is_paused_ || fd_ < 0) return;
  is_paused_ = false;
  Register();
  if (secure_ != nullptr) secure_->OnResumed();
}

void Socket::Close(bool with_reset) {
  if (fd_ < 0) return;
  event_del(&event_);
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
