#include "proxy/tls/context.h"

#include <fmt/format.h>

#include <utility>

#include "absl/time/clock.h"
#include "proxy/tls/certificate.h"

namespace outrigger::tls {
namespace {

// 112 bits: what OpenSSL's level 2 asks of keys, signatures and ciphers.
constexpr int kSecurityLevel = 2;

// Of TLS 1.2, where each suite must be named: keys that are forgotten with the connection, and
// ciphers that authenticate what they encrypt. HTTP/2 allows no others (RFC 9113, 9.2.2). Those of
// TLS 1.3 are all of this kind.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

bool SetCommonOptions(SSL_CTX& ctx) {
  SSL_CTX_set_min_proto_version(&ctx, TLS1_2_VERSION);
  SSL_CTX_set_security_level(&ctx, kSecurityLevel);
  SSL_CTX_set_options(&ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // An idle connection holds no buffers; a send that has to read first may be repeated from another
  // place.
  SSL_CTX_set_mode(&ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // One system call for a record instead of two.
  SSL_CTX_set_read_ahead(&ctx, 1);
  return SSL_CTX_set_cipher_list(&ctx, kCiphers) == 1;
}

}  // namespace

absl::Status Context::Load() {
  // Before reading: what changes meanwhile is seen the next time.
  stamps_ = Stamps();
  return TakeOver(nullptr);
}

absl::Status Context::Use(const OwnCertificate& own) { return TakeOver(&own); }

absl::Status Context::TakeOver(const OwnCertificate* own) {
  absl::StatusOr<std::shared_ptr<Generation>> made = Build(own);
  if (!made.ok()) return made.status();
  const std::optional<absl::Time> not_after = (*made)->not_after;
  std::lock_guard lock(mutex_);
  const bool is_file = own == nullptr;
  if (is_file && current_ != nullptr && not_after.has_value() && *not_after <= absl::Now()) {
    return absl::FailedPreconditionError(
        fmt::format("the certificate of {} expired at {}", files_.cert,
                    absl::FormatTime(absl::RFC3339_sec, *not_after, absl::UTCTimeZone())));
  }
  current_ = *std::move(made);
  return absl::OkStatus();
}

std::optional<absl::Status> Context::LoadIfChanged() {
  if (Stamps() == stamps_) return std::nullopt;
  return Load();
}

std::optional<absl::Time> Context::not_after() const {
  std::lock_guard lock(mutex_);
  return current_ == nullptr ? std::nullopt : current_->not_after;
}

std::shared_ptr<Context::Generation> Context::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

std::vector<FileStamp> Context::Stamps() const {
  return {FileStamp::Of(files_.cert), FileStamp::Of(files_.key), FileStamp::Of(files_.ca)};
}

absl::StatusOr<std::shared_ptr<Context::Generation>> Context::Build(const OwnCertificate* own) {
  std::vector<X509Ptr> ca;
  if (!files_.ca.empty()) {
    absl::StatusOr<std::vector<X509Ptr>> read = ReadCertificates(files_.ca);
    if (!read.ok()) return read.status();
    ca = *std::move(read);
  }
  absl::StatusOr<std::unique_ptr<Generation>> made = Make(ca);
  if (!made.ok()) return made.status();
  std::shared_ptr<Generation> generation = *std::move(made);
  if (!SetCommonOptions(*generation->ctx)) return absl::InternalError(TakeErrorText());
  if (own != nullptr) {
    const absl::Status installed = Install(*generation, *own, "the certificate");
    if (!installed.ok()) return installed;
  } else if (!files_.cert.empty()) {
    const absl::StatusOr<OwnCertificate> read = ReadOwn();
    if (!read.ok()) return read.status();
    const absl::Status installed = Install(*generation, *read, files_.cert);
    if (!installed.ok()) return installed;
  }
  return generation;
}

absl::StatusOr<OwnCertificate> Context::ReadOwn() const {
  absl::StatusOr<std::vector<X509Ptr>> chain = ReadCertificates(files_.cert);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<PkeyPtr> key = ReadPrivateKey(files_.key);
  if (!key.ok()) return key.status();
  if (X509_check_private_key(chain->front().get(), key->get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        fmt::format("{} is not the key of {}", files_.key, files_.cert));
  }
  return OwnCertificate{*std::move(chain), *std::move(key)};
}

absl::Status Context::Install(Generation& generation, const OwnCertificate& own,
                              const std::string& what) {
  SSL_CTX* ctx = generation.ctx.get();
  bool is_installed = SSL_CTX_use_certificate(ctx, own.chain.front().get()) == 1;
  for (size_t i = 1; is_installed && i < own.chain.size(); ++i) {
    is_installed = SSL_CTX_add1_chain_cert(ctx, own.chain[i].get()) == 1;
  }
  if (!is_installed || SSL_CTX_use_PrivateKey(ctx, own.key.get()) != 1) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", what, TakeErrorText()));
  }
  generation.not_after = NotAfter(*own.chain.front());
  return absl::OkStatus();
}

absl::Status Context::Trust(SSL_CTX& ctx, const std::vector<X509Ptr>& ca) {
  X509_STORE* store = SSL_CTX_get_cert_store(&ctx);
  for (const X509Ptr& certificate : ca) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1) {
      return absl::InvalidArgumentError(
          fmt::format("a certificate cannot be trusted: {}", TakeErrorText()));
    }
  }
  return absl::OkStatus();
}

}  // namespace outrigger::tls
