#include "proxy/http2/client_stream.h"

#include <utility>

#include "proxy/http1/framing.h"
#include "proxy/http2/client_connection.h"
#include "proxy/http2/field_block.h"

namespace outrigger::http2 {

using http::Executed;
using http::Failure;
using http::HeaderId;
using http::Phase;
using http::Reason;

namespace {

// Larger pieces are sent from where they are.
constexpr size_t kLendLimit = 4096;
// What may wait for the end of the turn before the sender has to stop.
constexpr size_t kStagedBytes = 16 * 1024;
// For clients of HTTP/1.0 that name no host: not every service takes a request without one.
constexpr std::string_view kNamelessHost = "localhost";

// HTTP/1 services are sent Host as the client sent it; this is the same.
std::string_view AuthorityOf(const http::RequestHeadToSend& head) {
  const http::HeaderField* host = head.headers->Find(HeaderId::kHost);
  if (host != nullptr) return host->value;
  return head.authority.empty() ? kNamelessHost : head.authority;
}

// Trailers of an answer that should have stood in its head: nobody may rely on them, so they are
// left out. Metadata of gRPC services may have any name. Those of framing end the stream instead.
constexpr http::HeaderIdSet kTooLate(HeaderId::kAuthorization, HeaderId::kContentEncoding,
                                     HeaderId::kContentType, HeaderId::kCookie,
                                     HeaderId::kForwarded, HeaderId::kIdempotencyKey,
                                     HeaderId::kLocation, HeaderId::kRetryAfter,
                                     HeaderId::kSetCookie, HeaderId::kVia,
                                     HeaderId::kWwwAuthenticate, HeaderId::kXForwardedClientCert,
                                     HeaderId::kXForwardedFor, HeaderId::kXForwardedHost,
                                     HeaderId::kXForwardedProto, HeaderId::kXOutrigger);

bool TakesTrailers(const http::HeaderList& headers) {
  for (const http::HeaderField& field : headers) {
    if (field.id == HeaderId::kTe && http::ListContainsToken(field.value, "trailers")) return true;
  }
  return false;
}

// False: there is something in it that must not be sent.
bool AddRequest(const http::RequestHeadToSend& head, bool is_secure, FieldBlock& block) {
  if (head.upgrade.empty()) {
    block.Add(":method", head.method_name);
  } else {
    block.Add(":method", "CONNECT");  // RFC 8441, 4
    block.Add(":protocol", head.upgrade);
  }
  // Some services refuse a scheme that their connection does not have. What the client used stands
  // in X-Forwarded-Proto.
  block.Add(":scheme", is_secure ? "https" : head.scheme);
  const std::string_view authority = AuthorityOf(head);
  if (!authority.empty()) block.Add(":authority", authority);
  block.Add(":path", head.target);
  if (head.body_length.has_value()) block.AddContentLength(*head.body_length);
  // Of this hop in HTTP/1, of both ends in HTTP/2 (RFC 9113, 8.2.2); gRPC asks for it.
  if (head.headers->ids().Contains(HeaderId::kTe) && TakesTrailers(*head.headers)) {
    block.Add("te", "trailers");
  }
  http::HeaderIdSet skipped = head.skipped;
  skipped.Add(HeaderId::kHost);
  if (!block.AddFields(*head.headers, skipped)) return false;
  return head.added == nullptr || block.AddFields(*head.added);
}

}  // namespace

ClientStream::ClientStream(ClientConnection& connection, bool is_reused)
    : loop_(connection.loop()),
      connection_(&connection),
      is_reused_(is_reused),
      incoming_(*this, connection.loop(), connection.pool()),
      body_(incoming_.NewBody()),
      outgoing_(connection.pool().budget()),
      head_ready_(connection.loop()),
      drained_(connection.loop()),
      continued_(connection.loop()) {}

ClientStream::~ClientStream() = default;

// Gone meanwhile: ReadHead() will say it.
bool ClientStream::allows_tunnels() const {
  return connection_ == nullptr || connection_->session().peer_allows_tunnels();
}

bool ClientStream::SendHead(const http::RequestHeadToSend& head) {
  FieldBlock block;
  const bool is_secure = connection_ != nullptr && connection_->is_secure();
  if (!AddRequest(head, is_secure, block)) return false;
  method_ = head.method;
  asks_for_tunnel_ = !head.upgrade.empty();
  has_request_body_ = head.has_body || asks_for_tunnel_;
  if (connection_ == nullptr) return true;  // ReadHead() will say it
  const size_t others = connection_->open_streams() - 1;
  const int32_t id = connection_->session().SubmitRequest(
      block, has_request_body_ ? &outgoing_ : nullptr, this, others);
  if (id < 0) {
    Fail(NewFailure(Reason::kUpstreamReset));
    return true;
  }
  id_ = id;
  connection_->FlushLater();
  return true;
}

bool ClientStream::SendData(std::string_view data) {
  if (is_closed_ || is_aborted_ || failure_.has_value()) return false;
  if (!has_request_body_ || data.empty()) return true;
  const bool can_lend = data.size() > kLendLimit && outgoing_.empty() && !connection_->is_blocked();
  if (can_lend) {
    outgoing_.Lend(data);
  } else {
    outgoing_.Append(data);
  }
  if (outgoing_.is_deferred()) connection_->session().Resume(id_);
  if (can_lend) {
    connection_->FlushNow();
    outgoing_.Keep();
  } else {
    connection_->FlushLater();
  }
  if (!outgoing_.empty()) connection_->AddSending(*this);
  return true;
}

bool ClientStream::Finish(const http::HeaderList* trailers) {
  if (is_closed_ || is_aborted_ || failure_.has_value()) return false;
  if (!has_request_body_) return true;
  outgoing_.Finish(trailers);
  if (outgoing_.is_deferred()) connection_->session().Resume(id_);
  if (asks_for_tunnel_) {
    // Who ends a tunnel, or was refused one, often lets go of it at once; a reset overtakes data.
    connection_->FlushNow();
  } else {
    connection_->FlushLater();
  }
  return true;
}

// What only waits for the end of the turn is no reason to stop.
size_t ClientStream::pending_bytes() const {
  if (connection_ == nullptr) return 0;
  const size_t waiting = outgoing_.size();
  return waiting <= kStagedBytes && !connection_->is_blocked() ? 0 : waiting;
}

void ClientStream::CheckSending() {
  if (!outgoing_.empty()) return;
  sending.Unlink();
  if (drained_.has_waiter()) drained_.Notify();
}

Task<Expected<http::ReceivedHead, Failure>> ClientStream::ReadHead(http::HeaderList& headers,
                                                                   http::InformationalSink* sink) {
  for (;;) {
    for (const ResponseHead& head : std::exchange(interim_, {})) {
      if (head.status != 100 && sink != nullptr) sink->OnInformational(head.status, head.headers);
    }
    if (has_final_head_) {
      const http::ReceivedHead received = Received();
      headers = std::move(head_.headers);
      co_return received;
    }
    if (failure_.has_value()) co_return *failure_;
    co_await head_ready_.Wait();
  }
}

http::ReceivedHead ClientStream::Received() const {
  http::ReceivedHead received;
  received.status = head_.status;
  if (asks_for_tunnel_ && head_.status < 300) {
    received.status = 101;  // what it is in HTTP/1
    received.has_body = true;
    return received;
  }
  const bool is_head = method_ == http::Method::kHead;
  const bool has_no_body = is_head || head_.status == 204 || head_.status == 304;
  if (const http::HeaderField* field = head_.headers.Find(HeaderId::kContentLength)) {
    received.body_length = http1::ParseContentLength(field->value);
  }
  if (head_.status == 204) received.body_length.reset();
  if (has_no_body) return received;
  const bool is_empty = incoming_.is_ended() && incoming_.received_bytes() == 0;
  // Trailers can only follow a body.
  received.has_body = !is_empty || incoming_.has_trailers();
  // All of it is here: HTTP/1 need not be told in chunks.
  if (incoming_.is_ended() && !incoming_.has_trailers() && !received.body_length.has_value()) {
    received.body_length = incoming_.received_bytes();
  }
  return received;
}

void ClientStream::Abort() {
  if (std::exchange(is_aborted_, true)) return;
  Fail(NewFailure(Reason::kUpstreamReset));
  if (connection_ != nullptr && !is_closed_ && id_ != 0) {
    connection_->Reset(id_, NGHTTP2_CANCEL);
    outgoing_.Clear();
    connection_->AddNews(*this);
  }
  head_ready_.Notify();
}

void ClientStream::Release() {
  is_released_ = true;
  if (connection_ == nullptr || id_ == 0) {
    if (connection_ != nullptr) connection_->Remove(*this);
    connection_ = nullptr;
    loop_.DeferDelete(std::unique_ptr<Deletable>(this));
    return;
  }
  connection_->AddNews(*this);
  if (is_closed_) return;
  if (is_head_sent_ && !has_final_head_ && connection_->received_bytes() == bytes_at_head_) {
    connection_->Probe();
  }
  if (!std::exchange(is_aborted_, true)) connection_->Reset(id_, NGHTTP2_CANCEL);
  // The reset goes before whatever is left.
  outgoing_.Clear();
}

bool ClientStream::AddField(std::string_view name, std::string_view value) {
  if (has_final_head_ && kTooLate.Contains(http::ClassifyHeader(name))) return true;
  const bool is_good =
      has_final_head_ ? incoming_.AddTrailer(name, value) : reader_.Add(name, value, arena_, head_);
  if (!is_good) is_malformed_ = true;
  return is_good;
}

void ClientStream::OnFieldsComplete(bool is_last) {
  if (is_malformed_) return;
  if (!has_final_head_) {
    is_head_news_ = true;
    if (!reader_.Finish(head_) || (head_.status < 200 && is_last)) {
      is_malformed_ = true;
      return;
    }
    is_continued_ |= head_.status == 100 || head_.status >= 200;
    if (head_.status < 200) {
      interim_.push_back(std::exchange(head_, {}));
    } else {
      has_final_head_ = true;
    }
  }
  if (is_last) incoming_.End();
}

void ClientStream::OnData(std::string_view data) {
  if (!is_released_ && !is_aborted_) incoming_.Append(data);
}

void ClientStream::OnEnd() {
  if (!is_malformed_) incoming_.End();
}

void ClientStream::OnHeadSent() {
  is_head_sent_ = true;
  bytes_at_head_ = connection_->received_bytes();
}

void ClientStream::OnClosed(uint32_t error_code) {
  is_closed_ = true;
  if (has_final_head_ && incoming_.is_ended()) return;
  Fail(FailureOf(error_code));
}

Failure ClientStream::NewFailure(Reason reason) const {
  Failure failure{.reason = reason, .phase = Phase::kSending, .executed = Executed::kMaybe};
  if (has_final_head_) {
    failure.phase = Phase::kBody;
    return failure;
  }
  if (is_end_sent_) failure.phase = Phase::kAwaitingHead;
  // Nothing of it has left: as with the streams that a GOAWAY says were not processed.
  if (!is_head_sent_) {
    failure.executed = Executed::kNo;
    failure.on_reused_connection = true;
  }
  return failure;
}

Failure ClientStream::FailureOf(uint32_t error_code) const {
  if (!was_reset_ && error_code != NGHTTP2_REFUSED_STREAM && is_head_sent_) {
    // nghttp2 found fault with it, or this side did.
    return NewFailure(Reason::kUpstreamProtocol);
  }
  Failure failure = NewFailure(Reason::kUpstreamReset);
  if (error_code == NGHTTP2_REFUSED_STREAM && !has_final_head_) {
    failure.executed = Executed::kNo;
    // Closed without a reset: it was above the last id of a GOAWAY.
    failure.on_reused_connection = !was_reset_;
  }
  return failure;
}

void ClientStream::Fail(const Failure& failure) {
  if (failure_.has_value()) return;
  failure_ = failure;
  incoming_.FailBehind(failure);
}

void ClientStream::OnConnectionLost(Reason reason) {
  Failure lost = NewFailure(reason);
  // A kept connection that was closed before any byte of an answer (B0.2).
  const bool is_silent = connection_->received_bytes() == bytes_at_head_;
  if (is_head_sent_ && !has_final_head_ && is_reused_ && is_silent) {
    lost.on_reused_connection = true;
  }
  connection_ = nullptr;
  outgoing_.Clear();
  if (is_released_) {
    loop_.DeferDelete(std::unique_ptr<Deletable>(this));
    return;
  }
  if (std::exchange(is_closed_, true) || (has_final_head_ && incoming_.is_ended())) return;
  Fail(lost);
}

void ClientStream::HandleNews() {
  if (is_malformed_ && !is_closed_ && !std::exchange(is_aborted_, true)) {
    Fail(NewFailure(Reason::kUpstreamProtocol));
    connection_->Reset(id_, NGHTTP2_PROTOCOL_ERROR);
    outgoing_.Clear();
  }
  if (const size_t credit = std::exchange(credit_, 0); credit > 0 && !is_closed_) {
    connection_->session().ConsumeStream(id_, credit);
  }
  if (is_closed_) {
    outgoing_.Clear();
    connection_->Remove(*this);
    connection_ = nullptr;
    if (is_released_) {
      loop_.DeferDelete(std::unique_ptr<Deletable>(this));
      return;
    }
  }
  Wake();
}

void ClientStream::Wake() {
  if (is_released_) return;
  if (failure_.has_value() || is_closed_) drained_.Notify();
  if (std::exchange(is_continued_, false)) continued_.Notify();
  if (std::exchange(is_head_news_, false) || failure_.has_value()) head_ready_.NotifyFromLoop();
  incoming_.Wake();
}

void ClientStream::OnBodyConsumed(size_t bytes) {
  if (connection_ == nullptr || is_closed_) return;
  credit_ += bytes;
  connection_->AddNews(*this);
}

}  // namespace outrigger::http2
