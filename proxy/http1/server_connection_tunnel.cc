// What a server connection does once it has become a tunnel.

#include <utility>

#include "proxy/http1/server_connection.h"

namespace outrigger::http1 {

std::unique_ptr<http::Body> ServerConnection::StartTunnel(const http::ResponseHeadToSend& head) {
  is_head_sent_ = closes_after_ = true;
  if (answer_.WriteTunnelHead(head, handler_->request().upgrade, accept_) !=
      AnswerWriter::Result::kOk) {
    is_broken_ = true;
  }
  context_.loop->Defer(*this);
  state_ = State::kTunnel;
  owes_fin_ = false;
  reader_->LeaveRest();
  tunnel_ =
      std::make_unique<TunnelReader>(*context_.loop, *context_.pool, socket_, std::move(buffer_));
  reader_.reset();
  return tunnel_->NewBody();
}

void ServerConnection::OnTunnelReadable() {
  if (is_finished_) {
    socket_.PauseReading();
  } else if (tunnel_->Receive() == net::IoStatus::kError) {
    ClientGone();
  }
}

// Each side ends for itself, in order; only a connection that broke has nobody any more.
void ServerConnection::OnTunnelPeerClosed() {
  if (socket_.TakeError() != 0 && !is_finished_) ClientGone();
}

void ServerConnection::SendFin() {
  if (!owes_fin_ || output_.pending_bytes() > 0 || output_.staged_bytes() > 0) return;
  owes_fin_ = false;
  socket_.ShutdownWrite();
}

void ServerConnection::EndTunnel() {
  handler_.reset();
  const bool has_client_ended = tunnel_->has_ended();
  tunnel_.reset();
  if (is_aborted_ || has_client_ended) {
    Close(is_aborted_);
  } else {
    Linger();
  }
}

}  // namespace outrigger::http1
