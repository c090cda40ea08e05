#include "proxy/http1/server_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "proxy/base/arena.h"
#include "proxy/http1/serializer.h"

namespace outrigger::http1 {

using http::Reason;

namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// RFC 9113, 3.4.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kDiscardBytes = 16 * 1024;

// The origin form of the target: what a service behind a proxy expects (RFC 9112, 3.2.1).
std::string_view OriginForm(const RequestHead& head, Arena& arena) {
  if (head.form != TargetForm::kAbsolute) return head.target;
  return arena.Concat(head.path, head.query);
}

}  // namespace

ServerConnection::ServerConnection(const ServerContext& context, int fd,
                                   const net::SocketAddress& peer, std::function<void()> on_closed,
                                   std::unique_ptr<net::SecureSession> session)
    : context_(context),
      on_closed_(std::move(on_closed)),
      socket_(*context.loop, fd, *this),
      output_(socket_, *context.pool),
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
  // A handshake that is under way has a request behind it.
  if (state_ == State::kHead && buffer_.empty() && !socket_.is_handshaking()) Close(false);
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
  if (state_ != State::kClosed) ClientGone();
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
      if (is_finished_) {
        socket_.PauseReading();
      } else if (tunnel_->Receive() == net::IoStatus::kError) {
        ClientGone();
      }
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
    // Each side ends for itself, in order; only a connection that broke has nobody any more.
    if (socket_.TakeError() != 0 && !is_finished_) ClientGone();
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
  RequestHead head;
  std::unique_ptr<http::StreamHandler> handler = context_.handlers->NewHandler();
  http::Request& request = handler->request();
  const HeadResult result =
      ParseRequestHead(buffer_.view(), progress_, context_.head_limits, head, request.headers);
  if (result.status == HeadStatus::kIncomplete) {
    // Armed once for each head: a byte a second does not move it.
    if (!std::exchange(is_head_deadline_, true)) context_.header_timeouts->Arm(read_deadline_);
    return;
  }
  if (result.status == HeadStatus::kError) {
    Refuse(result.reason, result.message);
    return;
  }
  RequestFraming framing;
  const FramingError error = GetRequestFraming(head, request.headers, framing);
  if (!error.ok()) {
    Refuse(error.reason, error.message);
    return;
  }
  const std::optional<uint64_t> max_body = context_.MaxBodyBytes(request.headers);
  if (max_body.has_value() && framing.body.length > *max_body) {
    Refuse(Reason::kBodyTooLarge, "the Content-Length is over the listener's limit");
    return;
  }
  if (!framing.upgrade.empty() && context_.upgrades != nullptr) {
    const tunnel::UpgradeVerdict verdict =
        tunnel::JudgeUpgrade({framing.upgrade, head.method, framing.body.has_body()},
                             request.headers, *context_.upgrades);
    if (verdict.kind == tunnel::UpgradeVerdict::Kind::kMalformed) {
      Refuse(Reason::kBadRequest, verdict.message);
      return;
    }
    request.upgrade = verdict.protocol;
  }
  handler_ = std::move(handler);
  BeginExchange(head, framing, result.consumed);
}

void ServerConnection::BeginExchange(const RequestHead& head, const RequestFraming& framing,
                                     size_t head_bytes) {
  state_ = State::kExchange;
  progress_ = {};
  is_head_deadline_ = false;
  read_deadline_.Unlink();
  is_head_sent_ = is_finished_ = is_aborted_ = false;
  is_head_request_ = head.method == http::Method::kHead;
  client_minor_version_ = head.minor_version;
  closes_after_ = !framing.keep_alive;
  reader_ = std::make_unique<RequestReader>(
      static_cast<RequestReader::Owner&>(*this), *context_.loop, *context_.pool, socket_, buffer_,
      head_bytes, framing, context_.MaxBodyBytes(handler_->request().headers));
  drained_.Clear();

  http::Request& request = handler_->request();
  request.method = head.method;
  request.method_name = head.method_text;
  request.target = OriginForm(head, *request.arena);
  request.authority = head.authority;
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
  if (framing.body.kind == BodyKind::kLength) request.body_length = framing.body.length;
  request.expects_continue = framing.expects_continue;
  request.informational = this;
  handler_->Start(*this);
}

void ServerConnection::SendHead(const http::ResponseHeadToSend& head) {
  is_head_sent_ = true;
  // Answering before the request was read to its end: what follows could not be told apart.
  if (!reader_->is_received()) closes_after_ = true;
  if (head.close || is_draining_ || context_.handlers->is_draining()) closes_after_ = true;

  BodyFraming framing;
  HeadOptions options;
  if (is_head_request_ || head.status == 204 || head.status == 304) {
    if (head.status != 204) options.declared_length = head.body_length;
  } else if (!head.has_body) {
    framing = {BodyKind::kLength, 0};
  } else if (head.body_length.has_value()) {
    framing = {BodyKind::kLength, *head.body_length};
  } else if (client_minor_version_ == 1) {
    framing = {BodyKind::kChunked, 0};
  } else {
    framing = {BodyKind::kUntilClose, 0};
    closes_after_ = true;
  }
  answer_kind_ = framing.kind;
  answer_left_ = framing.length;
  if (closes_after_) {
    options.connection = ConnectionOption::kClose;
  } else if (client_minor_version_ == 0) {
    options.connection = ConnectionOption::kKeepAlive;
  }

  const size_t room = MaxHeadBytes(std::string_view(), *head.headers, options);
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteResponseHead(sink, head.status, {}, *head.headers, framing, options) !=
      WriteResult::kOk) {
    // A field that must not be written: the parser or the maker of a local reply let it pass.
    is_aborted_ = is_finished_ = closes_after_ = true;
    context_.loop->Defer(*this);
    return;
  }
  output_.Commit(static_cast<size_t>(sink.at - at));
  context_.loop->Defer(*this);
}

std::unique_ptr<http::Body> ServerConnection::StartTunnel(const http::ResponseHeadToSend& head) {
  is_head_sent_ = closes_after_ = true;
  answer_kind_ = BodyKind::kUntilClose;
  const http::Request& request = handler_->request();
  http::HeaderList extra;
  if (request.upgrade == tunnel::kWebSocket) extra.Add(tunnel::kAcceptField, accept_);
  HeadOptions options;
  options.upgrade = request.upgrade;
  options.extra = &extra;
  const size_t room = MaxHeadBytes(std::string_view(), *head.headers, options);
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteResponseHead(sink, 101, {}, *head.headers, {}, options) == WriteResult::kOk) {
    output_.Commit(static_cast<size_t>(sink.at - at));
  } else {
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

void ServerConnection::SendFin() {
  if (!owes_fin_ || output_.pending_bytes() > 0 || output_.staged_bytes() > 0) return;
  owes_fin_ = false;
  socket_.ShutdownWrite();
}

void ServerConnection::SendData(std::string_view data, bool is_last) {
  if (is_broken_ || is_aborted_) return;
  if (state_ == State::kTunnel) {
    owes_fin_ = is_last;
    context_.loop->Defer(*this);
    AfterSend(output_.Write(data));
    return;
  }
  if (answer_kind_ == BodyKind::kNone) return;
  if (answer_kind_ == BodyKind::kLength) {
    if (data.size() > answer_left_) {
      Abort();
      return;
    }
    answer_left_ -= data.size();
    AfterSend(output_.Write(data));
    return;
  }
  if (answer_kind_ == BodyKind::kUntilClose) {
    AfterSend(output_.Write(data));
    return;
  }
  if (data.empty()) return;
  char* at = output_.Reserve(kMaxChunkHeaderBytes);
  ByteSink sink{at, at + kMaxChunkHeaderBytes};
  (void)WriteChunkHeader(sink, data.size());  // the room is there
  output_.Commit(static_cast<size_t>(sink.at - at));
  if (is_last) {
    answer_kind_ = BodyKind::kNone;
    AfterSend(output_.Write(data, "\r\n0\r\n\r\n"));
  } else {
    AfterSend(output_.Write(data, kChunkEnd));
  }
}

void ServerConnection::Finish(const http::HeaderList* trailers) {
  if (is_finished_) return;
  is_finished_ = true;
  if (answer_kind_ == BodyKind::kChunked) {
    static const http::HeaderList kNoTrailers;
    const http::HeaderList& fields = trailers != nullptr ? *trailers : kNoTrailers;
    const size_t room = MaxHeadBytes(std::string_view(), fields, {});
    char* at = output_.Reserve(room);
    ByteSink sink{at, at + room};
    if (WriteLastChunk(sink, fields) == WriteResult::kOk) {
      output_.Commit(static_cast<size_t>(sink.at - at));
    } else {
      is_aborted_ = closes_after_ = true;
    }
  } else if (answer_kind_ == BodyKind::kLength && answer_left_ > 0) {
    is_aborted_ = closes_after_ = true;
  }
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
  if (is_head_sent_ || client_minor_version_ == 0) return;
  output_.Stage(kContinue);
  AfterSend(output_.Flush());
}

void ServerConnection::OnInformational(int status, const http::HeaderList& headers) {
  if (is_head_sent_ || client_minor_version_ == 0) return;
  const size_t room = MaxHeadBytes(std::string_view(), headers, {});
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteResponseHead(sink, status, {}, headers, {}, {}) != WriteResult::kOk) return;
  output_.Commit(static_cast<size_t>(sink.at - at));
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
    Close(answer_kind_ == BodyKind::kUntilClose);
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
  HeadOptions options;
  options.connection = ConnectionOption::kClose;
  const size_t room = MaxHeadBytes(std::string_view(), headers, options);
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteResponseHead(sink, rejection.status, {}, headers,
                        {BodyKind::kLength, rejection.body.size()}, options) == WriteResult::kOk) {
    output_.Commit(static_cast<size_t>(sink.at - at));
    (void)output_.Send(rejection.body);
  }
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
