// The client's end of a TLS 1.3 connection, for the load generator. It trusts whoever answers.
//
//   TlsStream tls(socket.fd());
//   if (!tls.Handshake()) ...
//   tls.Send(request); tls.Receive(buffer, size);
//
// Send() and Receive() are like send() and recv() on a non-blocking socket.

#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>

#include <memory>
#include <string_view>

namespace outrigger::bench {

class TlsStream {
 public:
  explicit TlsStream(int fd);

  // Waits for the end of the handshake, at most five seconds; false when it fails.
  bool Handshake();
  ssize_t Send(std::string_view data);
  ssize_t Receive(char* data, size_t size);

 private:
  struct Deleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  // -1 with errno for a result of OpenSSL that is no count; 0 for the end.
  ssize_t Failure(int result);

  int fd_;
  std::unique_ptr<SSL, Deleter> ssl_;
};

}  // namespace outrigger::bench
