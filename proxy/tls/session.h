// The TLS of one connection.
//
//   std::unique_ptr<net::SecureSession> session = context.NewSession(fd, observer);
//   socket.StartTls(std::move(session), /*is_client=*/false);
//
// Made by ServerContext and ClientContext. Tells its observer once how the handshake ended. The
// context and the observer outlive it; a certificate that is replaced meanwhile does not touch it.
// One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/net/secure_session.h"
#include "proxy/tls/openssl.h"
#include "proxy/tls/san_rule.h"
#include "proxy/tls/socket_bio.h"

namespace outrigger::tls {

enum class HandshakeOutcome : uint8_t {
  kDone,
  kCertificate,  // the peer's certificate is missing, not trusted, expired, or not of an allowed
                 // name
  kRefused,      // the peer refused, for example our certificate
  kProtocol,     // no common version, cipher or protocol by ALPN, or no TLS at all
  kPlainHttp,    // an HTTP request that is not encrypted
  kPeerClosed,
  kGivenUp,  // not done in time, or this side is shutting down
  kCount,
};

std::string_view HandshakeOutcomeName(HandshakeOutcome outcome);

class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  // `detail` says why in words, without secrets; empty for kDone.
  virtual void OnHandshake(HandshakeOutcome outcome, std::string_view detail, int fd) = 0;
};

class Session final : public net::SecureSession {
 public:
  // What the peer has to be, besides trusted.
  struct Policy {
    bool is_server = false;
    const std::vector<SanRule>* allowed = nullptr;  // null or empty: any
    std::string_view protocol;  // that ALPN has to have chosen; of static storage; empty: any
  };

  // `ssl` is set up for its role; `pin` is kept as long as it.
  Session(SslPtr ssl, std::shared_ptr<const void> pin, int fd, const Policy& policy,
          SessionObserver& observer);
  ~Session() override;

  bool is_established() const override { return is_done_; }
  net::HandshakeStatus Handshake() override;
  void GiveUpHandshake() override;
  net::IoResult Receive(char* data, size_t size) override;
  net::IoResult Send(const iovec* parts, int count) override;
  bool has_unsent() const override { return io_.has_unsent(); }
  void Flush() override;
  bool send_wants_read() const override { return send_wants_read_; }
  bool has_received() const override;
  bool HasData() override;
  void SendClose() override;
  std::string_view protocol() const override;
  std::string_view peer_identity() const override { return peer_identity_; }
  std::string_view forwarded_certificate() const override { return forwarded_certificate_; }
  bool was_refused() const override { return was_refused_; }
  bool met_plain_http() const override { return met_plain_http_; }

  bool is_resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  // Of the connection, for the callbacks of its context.
  static Session* Of(const SSL* ssl) { return static_cast<Session*>(SSL_get_app_data(ssl)); }
  // Whether the rules allow a verified certificate; keeps the reason for the log when not.
  bool Allows(const X509& certificate);

 private:
  net::HandshakeStatus Fail(int result);
  bool TakePeer();
  void Break();
  // Encrypts and sends one piece; false when no further one can be sent now.
  bool SendPiece(std::string_view piece, net::IoResult& result);

  const std::shared_ptr<const void> pin_;
  SocketIo io_;
  const SslPtr ssl_;
  const Policy policy_;
  SessionObserver& observer_;
  std::string peer_identity_;
  std::string forwarded_certificate_;
  std::string denied_;  // why Allows() said no
  bool is_done_ = false;
  bool is_broken_ = false;
  bool send_wants_read_ = false;
  // The last byte of what Send() encrypted is not reported as taken until the kernel has it all, so
  // that whoever sends knows that something waits; when it is offered again, it is not sent again.
  bool has_withheld_byte_ = false;
  bool has_received_data_ = false;
  bool was_refused_ = false;
  bool met_plain_http_ = false;
};

}  // namespace outrigger::tls
