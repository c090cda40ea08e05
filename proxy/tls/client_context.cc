#include "proxy/tls/client_context.h"

#include <arpa/inet.h>

#include <utility>

#include "proxy/tls/verify.h"

namespace outrigger::tls {
namespace {

bool IsIpAddress(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace

struct ClientContext::ClientGeneration final : Generation {
  std::shared_ptr<const ClientOptions> options;  // what the sessions point to
};

ClientContext::ClientContext(ClientOptions options)
    : Context(options.files), options_(std::make_shared<const ClientOptions>(std::move(options))) {}

std::unique_ptr<net::SecureSession> ClientContext::NewSession(int fd, std::string_view host,
                                                              SessionObserver& observer) const {
  std::shared_ptr<Generation> generation = current();
  SslPtr ssl(SSL_new(generation->ctx.get()));
  const std::string name =
      options_->server_name.empty() ? std::string(host) : options_->server_name;
  const bool is_address = IsIpAddress(name);
  // SNI carries names only (RFC 6066, 3).
  if (!is_address && !name.empty()) SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  if (options_->allowed.empty()) {
    X509_VERIFY_PARAM* param = SSL_get0_param(ssl.get());
    if (is_address) {
      X509_VERIFY_PARAM_set1_ip_asc(param, name.c_str());
    } else {
      X509_VERIFY_PARAM_set_hostflags(
          param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
      // Without a name OpenSSL would not compare any.
      const std::string_view expected = name.empty() ? "nameless.invalid" : std::string_view(name);
      X509_VERIFY_PARAM_set1_host(param, expected.data(), expected.size());
    }
  }
  return std::make_unique<Session>(
      std::move(ssl), std::move(generation), fd,
      Session::Policy{.is_server = false,
                      .allowed = &options_->allowed,
                      .protocol = options_->is_http2 ? "h2" : std::string_view()},
      observer);
}

absl::StatusOr<std::unique_ptr<Context::Generation>> ClientContext::Make(
    const std::vector<X509Ptr>& ca) {
  auto generation = std::make_unique<ClientGeneration>();
  generation->options = options_;
  generation->ctx.reset(SSL_CTX_new(TLS_client_method()));
  if (generation->ctx == nullptr) return absl::InternalError(TakeErrorText());
  SSL_CTX& ctx = *generation->ctx;
  if (ca.empty()) {
    SSL_CTX_set_default_verify_paths(&ctx);
    ERR_clear_error();
  } else {
    const absl::Status trusted = Trust(ctx, ca);
    if (!trusted.ok()) return trusted;
  }
  SSL_CTX_set_verify(&ctx, SSL_VERIFY_PEER, VerifyPeer);
  static constexpr unsigned char kHttp2[] = "\x02h2";
  static constexpr unsigned char kHttp1[] = "\x08http/1.1";
  const unsigned char* protocols = options_->is_http2 ? kHttp2 : kHttp1;
  SSL_CTX_set_alpn_protos(&ctx, protocols, protocols[0] + 1U);
  return generation;
}

}  // namespace outrigger::tls
