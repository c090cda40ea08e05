#include "proxy/tls/socket_bio.h"

#include <sys/socket.h>

#include <cerrno>

namespace outrigger::tls {
namespace {

SocketIo& IoOf(BIO* bio) { return *static_cast<SocketIo*>(BIO_get_data(bio)); }

bool IsTemporary() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int Read(BIO* bio, char* data, int size) {
  BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY | BIO_FLAGS_IN_EOF);
  const ssize_t count = recv(IoOf(bio).fd(), data, static_cast<size_t>(size), 0);
  if (count == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  if (count < 0 && IsTemporary()) BIO_set_retry_read(bio);
  return static_cast<int>(count);
}

int Write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  return IoOf(bio).Write(data, static_cast<size_t>(size)) ? size : -1;
}

long Control(BIO* bio, int command, long, void*) {  // NOLINT: OpenSSL's types
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_EOF:
      return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    default:
      return 0;
  }
}

BIO_METHOD* MakeMethod() {
  BIO_METHOD* method =
      BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "non-blocking descriptor");
  BIO_meth_set_read(method, Read);
  BIO_meth_set_write(method, Write);
  BIO_meth_set_ctrl(method, Control);
  return method;
}

}  // namespace

bool SocketIo::Flush() {
  if (unsent_.empty()) return true;
  const ssize_t count = send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
  if (count < 0) return IsTemporary();
  if (static_cast<size_t>(count) == unsent_.size()) {
    unsent_.clear();
    unsent_.shrink_to_fit();
  } else {
    unsent_.erase(0, static_cast<size_t>(count));
  }
  return true;
}

bool SocketIo::Write(const char* data, size_t size) {
  size_t sent = 0;
  if (unsent_.empty()) {
    const ssize_t count = send(fd_, data, size, MSG_NOSIGNAL);
    if (count < 0 && !IsTemporary()) return false;
    if (count > 0) sent = static_cast<size_t>(count);
  }
  if (sent < size) unsent_.append(data + sent, size - sent);
  return true;
}

BioPtr NewSocketBio(SocketIo& io) {
  // Lives as long as the process.
  static BIO_METHOD* const method = MakeMethod();
  BioPtr bio(BIO_new(method));
  BIO_set_data(bio.get(), &io);
  BIO_set_init(bio.get(), 1);
  return bio;
}

}  // namespace outrigger::tls
