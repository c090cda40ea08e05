#include "proxy/tls/server_context.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "proxy/tls/ticket_keys.h"
#include "proxy/tls/verify.h"

namespace outrigger::tls {

// With its own ticket keys: what an earlier trust let in cannot come back by a ticket.
struct ServerContext::ServerGeneration final : Generation {
  TicketKeys ticket_keys;
  std::shared_ptr<const ServerOptions> options;  // what `ctx` and the sessions point to
};

ServerContext::ServerContext(ServerOptions options)
    : Context(options.files), options_(std::make_shared<const ServerOptions>(std::move(options))) {}

std::unique_ptr<net::SecureSession> ServerContext::NewSession(int fd,
                                                              SessionObserver& observer) const {
  std::shared_ptr<Generation> generation = current();
  SslPtr ssl(SSL_new(generation->ctx.get()));
  return std::make_unique<Session>(
      std::move(ssl), std::move(generation), fd,
      Session::Policy{.is_server = true, .allowed = &options_->allowed}, observer);
}

absl::StatusOr<std::unique_ptr<Context::Generation>> ServerContext::Make(
    const std::vector<X509Ptr>& ca) {
  auto generation = std::make_unique<ServerGeneration>();
  generation->options = options_;
  generation->ctx.reset(SSL_CTX_new(TLS_server_method()));
  if (generation->ctx == nullptr) return absl::InternalError(TakeErrorText());
  SSL_CTX& ctx = *generation->ctx;
  SSL_CTX_set_options(&ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(&ctx, SelectProtocol, const_cast<ServerOptions*>(options_.get()));
  // Sessions are kept by the clients, as tickets.
  SSL_CTX_set_session_cache_mode(&ctx, SSL_SESS_CACHE_OFF);
  generation->ticket_keys.Install(ctx);
  constexpr std::string_view kIdContext = "outrigger";  // needed with client certificates
  SSL_CTX_set_session_id_context(&ctx, reinterpret_cast<const unsigned char*>(kIdContext.data()),
                                 kIdContext.size());
  if (options_->client_auth != ClientAuth::kNone) {
    const absl::Status trusted = Trust(ctx, ca);
    if (!trusted.ok()) return trusted;
    for (const X509Ptr& certificate : ca) SSL_CTX_add_client_CA(&ctx, certificate.get());
    const int must_show =
        options_->client_auth == ClientAuth::kRequire ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(&ctx, SSL_VERIFY_PEER | must_show, VerifyPeer);
  }
  return generation;
}

// A client that names protocols of which we speak none is refused, so that it cannot be led to
// talk to us what it means for somebody else (RFC 7301, 3.2).
int ServerContext::SelectProtocol(SSL*, const unsigned char** selected,
                                  unsigned char* selected_size, const unsigned char* offered,
                                  unsigned int offered_size, void* self) {
  static constexpr std::string_view kOurs[] = {"h2", "http/1.1", "http/1.0"};
  const auto& options = *static_cast<const ServerOptions*>(self);
  for (std::string_view ours : kOurs) {
    if (!(ours == "h2" ? options.offers_http2 : options.offers_http1)) continue;
    for (unsigned int at = 0; at < offered_size; at += 1U + offered[at]) {
      if (at + 1U + offered[at] > offered_size) break;
      const unsigned char* name = offered + at + 1;
      if (ours != std::string_view(reinterpret_cast<const char*>(name), offered[at])) continue;
      *selected = name;
      *selected_size = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace outrigger::tls
