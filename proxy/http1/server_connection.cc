#include "proxy/http1/server_connection.h"

#include <utility>

#include "proxy/base/arena.h"

namespace outrigger::http1 {

using http::Reason;

namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// RFC 9113, 3.4.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kDiscardBytes = 16 * 1024;

}  // namespace

ServerConnection::ServerConnection(const ServerContext& context, int fd,
                                   const net::SocketAddress& peer, std::function<void()> on_closed,
                                   std::unique_ptr<net::SecureSession> session)
    : context_(context),
      on_closed_(std::move(on_closed)),
      socket_(*context.loop, fd, *this),
      output_(socket_, *context.pool),
      answer_(output_),
      read_deadline_([this] { OnReadDeadline(); }),
      write_deadline_([this] { OnWriteDeadline(); }),
      drained_(*context.loop),
      peer_host_(peer.HostText()) {
  if (session == nullptr) {
    context_.idle_timeouts->Arm(read_deadline_);
  } else {
    context_.header_timeouts->Arm(read_deadline_);
    socket_.StartTls(std::move(session), /*is_client=*/false);
  }
}

ServerConnection::~ServerConnection() = default;

void ServerConnection::Drain() {
  is_draining_ = true;
  // A handshake that is under way has a request behind it, and one may be waiting in the kernel,
  // which would answer it with a reset.
  const auto is_idle = [this] {
    return state_ == State::kHead && buffer_.empty() && !socket_.is_handshaking();
  };
  if (is_idle()) OnReadable();
  if (is_idle()) Close(false);
}

void ServerConnection::Shutdown() {
  if (state_ == State::kExchange || state_ == State::kTunnel) {
    // What it says leaves at the end of the turn, then the connection closes.
    closes_after_ = true;
    if (!is_finished_) handler_->OnShutdown();
  } else if (state_ != State::kClosed) {
    Close(false);
  }
}

void ServerConnection::CloseNow() {
  if (state_ == State::kLingering) {
    Close(false);  // the end of its answer may still be on the way
  } else if (state_ != State::kClosed) {
    ClientGone();
  }
}

void ServerConnection::OnSecured() {
  if (context_.http2 != nullptr && socket_.secure_session()->protocol() == "h2") {
    HandOver();
    return;
  }
  context_.idle_timeouts->Arm(read_deadline_);
}

void ServerConnection::OnReadable() {
  switch (state_) {
    case State::kHead: {
      if (buffer_.is_full()) buffer_.Grow(*context_.pool);
      buffer_.Prepare(*context_.pool, net::BlockSize::kSmall);
      const net::IoResult result = socket_.Receive(buffer_.room_begin(), buffer_.room());
      if (result.status == net::IoStatus::kOk) {
        buffer_.Commit(result.bytes);
        ParseHead();
        return;
      }
      if (buffer_.empty()) buffer_.Clear();
      if (result.status == net::IoStatus::kAgain) return;
      if (socket_.FallBackToPlain()) {
        Refuse(Reason::kBadRequest, "this port speaks TLS, the request was not encrypted");
      } else {
        Close(false);
      }
      return;
    }
    case State::kExchange:
      switch (reader_->Receive()) {
        case net::IoStatus::kOk:
        case net::IoStatus::kAgain:
          return;
        case net::IoStatus::kEnd:
          OnEndOfStream();
          return;
        case net::IoStatus::kError:
          has_peer_closed_ = true;
          if (!is_finished_) ClientGone();
          return;
      }
      return;
    case State::kTunnel:
      OnTunnelReadable();
      return;
    case State::kLingering: {
      char discarded[kDiscardBytes];
      const net::IoResult result = socket_.Receive(discarded, sizeof discarded);
      if (result.status == net::IoStatus::kEnd || result.status == net::IoStatus::kError) {
        Close(false);
      }
      return;
    }
    case State::kClosed:
      return;
  }
}

// The client has closed its side, or the connection was reset; bytes from before that may still
// wait to be read.
void ServerConnection::OnPeerClosed() {
  if (state_ == State::kClosed) return;
  if (state_ == State::kTunnel) {
    OnTunnelPeerClosed();
    return;
  }
  if (context_.allow_half_close && socket_.TakeError() == 0) {
    // The end is met in order, behind what was sent before it.
    closes_after_ = true;
    return;
  }
  has_peer_closed_ = true;
  if (state_ != State::kExchange) {
    // A head in the buffer may still be complete; its answer would find nobody.
    Close(false);
    return;
  }
  if (is_finished_) return;  // the answer is on its way out
  ClientGone();
}

// REQUIRES: state_ is kExchange.
void ServerConnection::OnEndOfStream() {
  if (!context_.allow_half_close) {
    OnPeerClosed();
    return;
  }
  has_peer_closed_ = true;
  closes_after_ = true;
  reader_->OnEndOfStream();
  socket_.PauseReading();
}

void ServerConnection::OnWritable() {
  const size_t before = output_.pending_bytes();
  if (!output_.OnWritable()) {
    ClientGone();
    return;
  }
  const size_t after = output_.pending_bytes();
  if (after != 0) {
    if (after < before) context_.write_idle_timeouts->Arm(write_deadline_);
    return;
  }
  write_deadline_.Unlink();
  if (is_finished_) {
    context_.loop->Defer(*this);
  } else {
    SendFin();
    drained_.NotifyFromLoop();
  }
}

bool ServerConnection::TakePreface() {
  const std::string_view received = buffer_.view().substr(0, kHttp2Preface.size());
  // Over TLS the protocol is agreed on by ALPN.
  const bool may_switch = context_.http2 != nullptr && socket_.secure_session() == nullptr;
  if (!may_switch || !kHttp2Preface.starts_with(received)) {
    is_first_head_ = false;
    return false;
  }
  if (received.size() < kHttp2Preface.size()) {
    // "P" may also become a POST.
    if (!std::exchange(is_head_deadline_, true)) context_.header_timeouts->Arm(read_deadline_);
    return true;
  }
  HandOver();
  return true;
}

void ServerConnection::HandOver() {
  const net::ReadBuffer bytes = std::move(buffer_);
  std::unique_ptr<net::SecureSession> session = socket_.ReleaseTls();
  Http2Handover handover{.fd = socket_.Release(),
                         .session = std::move(session),
                         .peer_host = std::move(peer_host_),
                         .received = bytes.view(),
                         .on_closed = std::exchange(on_closed_, nullptr)};
  Http2Acceptor& acceptor = *context_.http2;
  Close(false);
  acceptor.Accept(std::move(handover));
}

void ServerConnection::ParseHead() {
  if (is_first_head_ && TakePreface()) return;
  std::unique_ptr<http::StreamHandler> handler = context_.handlers->NewHandler();
  const TakenHead head = TakeRequestHead(context_, buffer_.view(), progress_, handler->request());
  switch (head.status) {
    case HeadStatus::kIncomplete:
      // Armed once for each head: a byte a second does not move it.
      if (!std::exchange(is_head_deadline_, true)) context_.header_timeouts->Arm(read_deadline_);
      return;
    case HeadStatus::kError:
      Refuse(head.error.reason, head.error.message);
      return;
    case HeadStatus::kDone:
      handler_ = std::move(handler);
      BeginExchange(head);
      return;
  }
}

void ServerConnection::BeginExchange(const TakenHead& head) {
  http::Request& request = handler_->request();
  state_ = State::kExchange;
  progress_ = {};
  is_head_deadline_ = false;
  read_deadline_.Unlink();
  is_head_sent_ = is_finished_ = is_aborted_ = false;
  answer_.Begin({.is_head_request = request.method == http::Method::kHead,
                 .client_minor_version = head.minor_version});
  closes_after_ = !head.framing.keep_alive;
  reader_ = std::make_unique<RequestReader>(
      static_cast<RequestReader::Owner&>(*this), *context_.loop, *context_.pool, socket_, buffer_,
      head.bytes, head.framing, context_.MaxBodyBytes(request.headers));
  drained_.Clear();

  request.peer_address = peer_host_;
  if (const net::SecureSession* session = socket_.secure_session(); session != nullptr) {
    request.scheme = "https";
    request.peer_identity = session->peer_identity();
    request.peer_certificate = session->forwarded_certificate();
  }
  if (!request.upgrade.empty()) {
    closes_after_ = true;
    // Of this hop: it is answered by StartTunnel().
    accept_ = {};
    if (const http::HeaderField* key = request.headers.Find(tunnel::kKeyField)) {
      accept_ = request.arena->Copy(tunnel::AcceptOf(key->value).view());
      tunnel::RemoveKey(request.headers);
    }
  }
  request.body = reader_->NewBody();
  request.informational = this;
  handler_->Start(*this);
}

void ServerConnection::SendHead(const http::ResponseHeadToSend& head) {
  is_head_sent_ = true;
  // Answering before the request was read to its end: what follows could not be told apart.
  if (!reader_->is_received()) closes_after_ = true;
  if (head.close || is_draining_ || context_.handlers->is_draining()) closes_after_ = true;
  answer_.ChooseFraming(head);
  if (answer_.ends_by_closing()) closes_after_ = true;
  if (answer_.WriteHead(head, closes_after_) != AnswerWriter::Result::kOk) {
    is_aborted_ = is_finished_ = closes_after_ = true;
  }
  context_.loop->Defer(*this);
}

void ServerConnection::SendData(std::string_view data, bool is_last) {
  if (is_broken_ || is_aborted_) return;
  if (state_ == State::kTunnel) {
    owes_fin_ = is_last;
    context_.loop->Defer(*this);
  }
  const AnswerWriter::Result result = answer_.WriteData(data, is_last);
  if (result == AnswerWriter::Result::kInvalid) {
    Abort();
  } else {
    AfterSend(result == AnswerWriter::Result::kOk);
  }
}

void ServerConnection::Finish(const http::HeaderList* trailers) {
  if (is_finished_) return;
  is_finished_ = true;
  if (answer_.Finish(trailers) != AnswerWriter::Result::kOk) is_aborted_ = closes_after_ = true;
  context_.loop->Defer(*this);
}

void ServerConnection::Abort() {
  is_finished_ = is_aborted_ = closes_after_ = true;
  context_.loop->Defer(*this);
}

void ServerConnection::AfterSend(bool is_connected) {
  if (!is_connected) {
    is_broken_ = true;
    context_.loop->Defer(*this);
    return;
  }
  if (output_.staged_bytes() > 0) context_.loop->Defer(*this);
  if (output_.pending_bytes() > 0 && !write_deadline_.is_armed()) {
    context_.write_idle_timeouts->Arm(write_deadline_);
  }
}

void ServerConnection::SendContinue() {
  if (is_head_sent_ || !answer_.may_be_informed()) return;
  output_.Stage(kContinue);
  AfterSend(output_.Flush());
}

void ServerConnection::OnInformational(int status, const http::HeaderList& headers) {
  if (is_head_sent_ || !answer_.may_be_informed()) return;
  if (answer_.WriteInformational(status, headers) != AnswerWriter::Result::kOk) return;
  AfterSend(output_.Flush());
}

void ServerConnection::OnBodyWait(bool is_waiting) {
  if (is_waiting) {
    context_.body_idle_timeouts->Arm(read_deadline_);
  } else {
    read_deadline_.Unlink();
  }
}

void ServerConnection::OnReadDeadline() {
  switch (state_) {
    case State::kHead:
      if (buffer_.empty()) {
        Close(false);
      } else {
        Refuse(Reason::kRequestTimeout, "the request's head took too long");
      }
      return;
    case State::kExchange:
      reader_->Fail(Reason::kRequestTimeout);
      return;
    case State::kTunnel:
      return;
    case State::kLingering:
      Close(false);
      return;
    case State::kClosed:
      return;
  }
}

void ServerConnection::RunDeferred() {
  if (state_ == State::kClosed) return;
  if (!is_broken_ && !output_.Flush()) is_broken_ = true;
  if (is_broken_) {
    ClientGone();
    return;
  }
  if (output_.pending_bytes() > 0) {
    if (!write_deadline_.is_armed()) context_.write_idle_timeouts->Arm(write_deadline_);
    return;
  }
  SendFin();
  if (!is_finished_) return;
  if (state_ == State::kTunnel) {
    EndTunnel();
  } else {
    EndExchange();
  }
}

// Closing with unread bytes would make the kernel send a reset, which may overtake what was sent.
void ServerConnection::Linger() {
  state_ = State::kLingering;
  buffer_.Clear();
  socket_.ShutdownWrite();
  socket_.ResumeReading();
  context_.linger_timeouts->Arm(read_deadline_);
}

void ServerConnection::EndExchange() {
  handler_.reset();
  const bool is_body_received = reader_ == nullptr || reader_->DiscardReceived();
  if (reader_ != nullptr && is_body_received) reader_->LeaveRest();
  reader_.reset();
  read_deadline_.Unlink();
  if (is_aborted_) {
    // Only a reset tells the reader of a body that ends by closing that it was cut.
    Close(answer_.ends_by_closing());
    return;
  }
  if (closes_after_ || is_draining_ || !is_body_received) {
    if (has_peer_closed_ || (is_body_received && buffer_.empty())) {
      socket_.ShutdownWrite();
      Close(false);
      return;
    }
    Linger();
    return;
  }
  state_ = State::kHead;
  is_finished_ = false;
  if (has_peer_closed_) {
    Close(false);
    return;
  }
  socket_.ResumeReading();
  if (buffer_.empty()) {
    context_.idle_timeouts->Arm(read_deadline_);
  } else {
    ParseHead();
  }
}

void ServerConnection::Refuse(Reason reason, std::string_view detail) {
  Arena arena;
  http::HeaderList headers;
  const http::StreamHandlerFactory::Rejection rejection =
      context_.handlers->Reject(reason, detail, /*is_grpc=*/false, arena, headers);
  answer_.WriteRefusal(rejection.status, headers, rejection.body);
  Linger();
}

void ServerConnection::ClientGone() {
  if (handler_ != nullptr && !is_finished_) handler_->OnClientGone();
  Close(true);
}

// REQUIRES: called from the loop, so that nothing of the handler is running.
void ServerConnection::Close(bool with_reset) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  read_deadline_.Unlink();
  write_deadline_.Unlink();
  handler_.reset();
  reader_.reset();
  tunnel_.reset();
  buffer_.Clear();
  socket_.Close(with_reset);
  Deferred::Unlink();
  membership.Unlink();
  if (on_closed_) on_closed_();
  context_.loop->DeferDelete(std::unique_ptr<Deletable>(this));
}

}  // namespace outrigger::http1
