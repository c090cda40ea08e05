// The TLS of a listener.
//
//   ServerContext context({.files = {cert, key, client_ca}, .client_auth = ClientAuth::kRequire});
//   absl::Status status = context.Load();
//   socket.StartTls(context.NewSession(fd, observer), /*is_client=*/false);
//
// TLS 1.2 and 1.3, session tickets, ALPN. With client certificates asked for, a peer whose
// certificate is not from `files.ca`, or carries no name that `allowed` wants, gets no connection.
// See Context for threads and reloading.

#pragma once

#include <memory>
#include <vector>

#include "proxy/tls/context.h"
#include "proxy/tls/session.h"

namespace outrigger::tls {

enum class ClientAuth : uint8_t { kNone, kOptional, kRequire };

struct ServerOptions {
  Files files;  // ca: of the clients
  ClientAuth client_auth = ClientAuth::kNone;
  std::vector<SanRule> allowed;  // empty: whomever the CA vouches for
  bool offers_http1 = true;
  bool offers_http2 = false;
};

class ServerContext final : public Context {
 public:
  explicit ServerContext(ServerOptions options);

  // REQUIRES: Load() has succeeded once.
  std::unique_ptr<net::SecureSession> NewSession(int fd, SessionObserver& observer) const;

 private:
  struct ServerGeneration;

  absl::StatusOr<std::unique_ptr<Generation>> Make(const std::vector<X509Ptr>& ca) override;
  static int SelectProtocol(SSL* ssl, const unsigned char** selected, unsigned char* selected_size,
                            const unsigned char* offered, unsigned int offered_size, void* self);

  const std::shared_ptr<const ServerOptions> options_;
};

}  // namespace outrigger::tls
