#include "tools/bench/tls.h"

#include <openssl/err.h>
#include <poll.h>

#include <cerrno>

#include "tools/bench/net.h"

namespace outrigger::bench {
namespace {

constexpr int kPatienceMs = 5000;

SSL_CTX* Context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    if (made == nullptr) Die("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return made;
  }();
  return context;
}

}  // namespace

TlsStream::TlsStream(int fd) : fd_(fd), ssl_(SSL_new(Context())) {
  if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), fd) != 1) Die("SSL_new");
}

bool TlsStream::Handshake() {
  for (;;) {
    const int result = SSL_connect(ssl_.get());
    if (result == 1) return true;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
    pollfd wanted{fd_, static_cast<short>(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
    if (poll(&wanted, 1, kPatienceMs) != 1) return false;
  }
}

ssize_t TlsStream::Send(std::string_view data) {
  const int count = SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size()));
  return count > 0 ? count : Failure(count);
}

ssize_t TlsStream::Receive(char* data, size_t size) {
  const int count = SSL_read(ssl_.get(), data, static_cast<int>(size));
  return count > 0 ? count : Failure(count);
}

ssize_t TlsStream::Failure(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  ERR_clear_error();
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  const bool must_wait = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  errno = must_wait ? EAGAIN : ECONNRESET;
  return -1;
}

}  // namespace outrigger::bench
