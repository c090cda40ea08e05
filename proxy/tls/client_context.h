// The TLS to an upstream.
//
//   ClientContext context({.files = {.ca = "/certs/ca.crt"}});
//   absl::Status status = context.Load();
//   socket.StartTls(context.NewSession(fd, "model.example", observer), /*is_client=*/true);
//
// The upstream's certificate is always verified: chain and time against `files.ca`, or the system's
// trust when no file is named, and its names against the host, or against `allowed` when there are
// rules. See Context for threads and reloading.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/tls/context.h"
#include "proxy/tls/session.h"

namespace outrigger::tls {

struct ClientOptions {
  Files files;              // ca: of the upstream; cert and key: what we show when asked
  std::string server_name;  // instead of the endpoint's host; for SNI and verification
  std::vector<SanRule> allowed;
  // What the upstream is asked for by ALPN: HTTP/2, which it then has to choose, or HTTP/1.1, which
  // is taken for chosen when it does not answer.
  bool is_http2 = false;
};

class ClientContext final : public Context {
 public:
  explicit ClientContext(ClientOptions options);

  // `host`: of the endpoint, a name or an address. REQUIRES: Load() has succeeded once.
  std::unique_ptr<net::SecureSession> NewSession(int fd, std::string_view host,
                                                 SessionObserver& observer) const;

 private:
  struct ClientGeneration;

  absl::StatusOr<std::unique_ptr<Generation>> Make(const std::vector<X509Ptr>& ca) override;

  const std::shared_ptr<const ClientOptions> options_;
};

}  // namespace outrigger::tls
