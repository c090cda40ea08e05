#include "proxy/net/secure_layer.h"

#include <cerrno>
#include <utility>

#include "proxy/net/socket.h"

namespace outrigger::net {

SecureLayer::SecureLayer(Socket& socket, std::unique_ptr<SecureSession> session)
    : socket_(socket),
      session_(std::move(session)),
      state_(session_->is_established() ? State::kOpen : State::kHandshake),
      is_flushing_(session_->has_unsent()),
      has_more_(session_->is_established()) {}

SecureLayer::~SecureLayer() = default;

void SecureLayer::Begin() { socket_.loop_.Defer(*this); }

std::unique_ptr<SecureSession> SecureLayer::Release() {
  state_ = State::kClosed;
  Unlink();
  return std::move(session_);
}

bool SecureLayer::WantsWrite(bool handler_wants) const {
  if (state_ == State::kHandshake) return is_flushing_;
  return is_flushing_ || (handler_wants && !send_wants_read_);
}

void SecureLayer::UpdateFlushing() {
  const bool has_unsent = session_->has_unsent();
  if (std::exchange(is_flushing_, has_unsent) != has_unsent) socket_.Register();
}

void SecureLayer::OnEvent(bool is_readable, bool is_writable, bool has_ended) {
  if (is_writable && is_flushing_) {
    session_->Flush();
    UpdateFlushing();
  }
  if (state_ == State::kHandshake) {
    Advance();
    return;
  }
  if (is_readable && send_wants_read_) {
    send_wants_read_ = false;
    is_writable = true;
    socket_.Register();
  }
  if (is_writable && socket_.wants_write_) socket_.handler_.OnWritable();
  if (is_readable && !socket_.is_paused_ && socket_.is_open()) CallReadable();
  if (has_ended && socket_.is_open()) socket_.handler_.OnPeerClosed();
}

void SecureLayer::CallReadable() {
  if (state_ == State::kOpen && !session_->HasData()) {
    has_more_ = false;
    return;
  }
  // Looking may have taken a record from the kernel, which then tells of it no more; the handler may
  // pause instead of reading it.
  has_more_ = state_ == State::kOpen && session_->has_received();
  socket_.handler_.OnReadable();
}

void SecureLayer::Advance() {
  const HandshakeStatus status = session_->Handshake();
  if (status == HandshakeStatus::kAgain) {
    UpdateFlushing();
    return;
  }
  if (status == HandshakeStatus::kFailed) {
    state_ = State::kFailed;
    is_flushing_ = false;
    socket_.Register();
    // The handler learns of it as of any other broken connection.
    socket_.handler_.OnReadable();
    return;
  }
  state_ = State::kOpen;
  is_flushing_ = session_->has_unsent();
  socket_.Register();
  socket_.handler_.OnSecured();
  // The first request often comes in one piece with the end of the handshake.
  if (socket_.is_open() && !socket_.is_paused_ && session_->has_received()) CallReadable();
}

void SecureLayer::RunDeferred() {
  if (!socket_.is_open()) return;
  if (state_ == State::kHandshake) {
    Advance();
    return;
  }
  if (!has_more_ || socket_.is_paused_) return;
  CallReadable();
  // As often as an event that is level-triggered.
  if (has_more_ && socket_.is_open() && !socket_.is_paused_) socket_.loop_.Defer(*this);
}

void SecureLayer::OnResumed() {
  if (has_more_) socket_.loop_.Defer(*this);
}

IoResult SecureLayer::Receive(char* data, size_t size) {
  if (state_ == State::kHandshake) return {.status = IoStatus::kAgain};
  if (state_ == State::kPlain) return socket_.ReceivePlain(data, size);
  if (state_ != State::kOpen) return {.status = IoStatus::kError, .error = EPROTO};
  const IoResult result = session_->Receive(data, size);
  UpdateFlushing();
  has_more_ = result.status == IoStatus::kOk && session_->has_received();
  if (has_more_ && !socket_.is_paused_) socket_.loop_.Defer(*this);
  return result;
}

IoResult SecureLayer::Send(const iovec* parts, int count) {
  if (state_ == State::kHandshake) return {.status = IoStatus::kAgain};
  if (state_ == State::kPlain) return socket_.SendPlain(parts, count);
  if (state_ != State::kOpen) return {.status = IoStatus::kError, .error = EPROTO};
  const IoResult result = session_->Send(parts, count);
  if (session_->send_wants_read() && !send_wants_read_) {
    send_wants_read_ = true;
    socket_.Register();
  }
  UpdateFlushing();
  return result;
}

bool SecureLayer::FallBackToPlain() {
  if (state_ != State::kFailed || !session_->met_plain_http()) return false;
  state_ = State::kPlain;
  return true;
}

void SecureLayer::SendClose() {
  if (state_ == State::kOpen && !std::exchange(is_close_sent_, true)) session_->SendClose();
}

void SecureLayer::Close(bool is_orderly) {
  if (state_ == State::kHandshake) session_->GiveUpHandshake();
  if (is_orderly) SendClose();
  state_ = State::kClosed;
  Unlink();
}

}  // namespace outrigger::net
