// What a Socket has more when its bytes are encrypted: the handshake before everything else, and
// the readiness that the kernel does not know of.
//
// A session reads ahead: bytes may wait in it while the kernel has none, so that level-triggered
// readiness is continued here, by calls at the end of the turn. And a session has messages of its
// own to write (a key update), or must read in order to write, which the handler never hears about.
//
// Belongs to its Socket and is used by it only.

#pragma once

#include <memory>

#include "proxy/event/loop.h"
#include "proxy/net/secure_session.h"

namespace outrigger::net {

class Socket;

class SecureLayer final : private Deferred {
 public:
  SecureLayer(Socket& socket, std::unique_ptr<SecureSession> session);
  ~SecureLayer() override;

  // The handshake of a client begins without an event, and so does reading from a session that is
  // established.
  void Begin();
  // For another socket of the same descriptor.
  std::unique_ptr<SecureSession> Release();
  void OnEvent(bool is_readable, bool is_writable, bool has_ended);
  // Reading goes on after a pause.
  void OnResumed();
  void Close(bool is_orderly);
  void SendClose();
  bool FallBackToPlain();

  IoResult Receive(char* data, size_t size);
  IoResult Send(const iovec* parts, int count);

  bool is_handshaking() const { return state_ == State::kHandshake; }
  bool has_failed() const { return state_ == State::kFailed; }
  // Whether the kernel is to be asked for writability, when the handler wants it or not.
  bool WantsWrite(bool handler_wants) const;
  const SecureSession& session() const { return *session_; }

 private:
  enum class State : uint8_t {
    kHandshake,
    kOpen,
    kFailed,
    kPlain,  // the peer gets an answer that it can read
    kClosed,
  };

  void RunDeferred() override;
  void Advance();
  void CallReadable();
  // Asks for writability, or no longer, as the session needs it.
  void UpdateFlushing();

  Socket& socket_;
  std::unique_ptr<SecureSession> session_;  // null after Release()
  State state_;
  bool is_flushing_ = false;  // asks for writability in order to Flush()
  bool send_wants_read_ = false;
  bool has_more_;  // the session may have something to receive
  bool is_close_sent_ = false;
};

}  // namespace outrigger::net
