// The encryption of one connection, as a Socket sees it; proxy/tls implements it with OpenSSL.
//
//   socket.StartTls(context.NewSession(socket.fd(), observer));
//
// The session reads and writes the descriptor itself, which it does not own, and never blocks:
// kAgain means that the descriptor was not ready. What the kernel does not take of its own messages
// it keeps until Flush(). Not used by code other than Socket, but for the
// accessors at the end. One worker.

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string_view>

#include "proxy/net/io_result.h"

namespace outrigger::net {

enum class HandshakeStatus : uint8_t { kDone, kAgain, kFailed };

class SecureSession {
 public:
  virtual ~SecureSession() = default;

  // The handshake was done, perhaps on another socket of the same descriptor.
  virtual bool is_established() const = 0;
  // Goes on as far as the descriptor allows. Not to be called again after kDone or kFailed.
  virtual HandshakeStatus Handshake() = 0;
  // The connection is closed by this side while the handshake runs, for example by its deadline.
  virtual void GiveUpHandshake() = 0;

  // kEnd: the peer has said that nothing follows (close_notify). A connection that just ends is an
  // error, because somebody between the two may have cut it.
  virtual IoResult Receive(char* data, size_t size) = 0;
  // What was not taken must be offered again, from its first byte, before anything else. Nothing is
  // taken as a whole before the kernel has it.
  virtual IoResult Send(const iovec* parts, int count) = 0;
  // Bytes wait for the kernel to take them, whether they are from Send() or the session's own.
  virtual bool has_unsent() const = 0;
  virtual void Flush() = 0;
  // kAgain of the last Send() meant that something must be read first.
  virtual bool send_wants_read() const = 0;
  // Bytes that the kernel no longer has wait for the next Receive(), or an error does.
  virtual bool has_received() const = 0;
  // Takes messages of the protocol itself (session tickets, key updates) out of the way. False:
  // nothing else has come.
  virtual bool HasData() = 0;
  // Says that nothing follows; as far as it can be said at once.
  virtual void SendClose() = 0;

  // After the handshake. "h2", "http/1.1", or empty when the peer did not ask for a protocol.
  virtual std::string_view protocol() const = 0;
  // Who the peer has proven to be: "spiffe://...", another URI, or "dns:name" from its verified
  // certificate. Empty: it has shown none.
  virtual std::string_view peer_identity() const = 0;
  // The peer's certificate as an element of X-Forwarded-Client-Cert; empty: it has shown none.
  virtual std::string_view forwarded_certificate() const = 0;
  // After an error: the server refused this side, for example its certificate, and has not looked
  // at what was sent. With TLS 1.3 a client learns of it only after its own part of the handshake.
  virtual bool was_refused() const = 0;
  // After a failed handshake: what came was an HTTP request that was not encrypted.
  virtual bool met_plain_http() const = 0;
};

}  // namespace outrigger::net
