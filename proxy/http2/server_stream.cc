#include "proxy/http2/server_stream.h"

#include <algorithm>
#include <utility>

#include "proxy/base/arena.h"
#include "proxy/grpc/call.h"
#include "proxy/http2/server_connection.h"
#include "proxy/tunnel/upgrade.h"

namespace outrigger::http2 {

using http::Reason;

namespace {

// Larger pieces are sent at once, from where they are.
constexpr size_t kSendLimit = 4096;
// What may wait for the end of the turn before the sender has to stop.
constexpr size_t kStagedBytes = 16 * 1024;

}  // namespace

ServerStream::ServerStream(ServerConnection& connection, int32_t id)
    : connection_(connection),
      id_(id),
      handler_(connection.context().handlers->NewHandler()),
      head_(connection.context().head_limits),
      incoming_(*this, *connection.context().loop, *connection.context().pool),
      outgoing_(connection.context().pool->budget()),
      drained_(*connection.context().loop),
      read_deadline_([this] { OnReadDeadline(); }),
      write_deadline_([this] { OnWriteDeadline(); }) {}

ServerStream::~ServerStream() {
  // The handler first: it may hold the body, and its task waits on what is here.
  handler_.reset();
}

bool ServerStream::AddField(std::string_view name, std::string_view value) {
  return head_.Add(name, value, handler_->request());
}

void ServerStream::AddTrailer(std::string_view name, std::string_view value) {
  const bool is_trimmed = http::TrimOws(value).size() == value.size();
  if (!is_trimmed || !incoming_.AddTrailer(name, value)) is_malformed_ = true;
}

void ServerStream::OnHeadComplete(bool is_ended) {
  is_head_new_ = true;
  if (is_ended) incoming_.End();
}

void ServerStream::OnData(std::string_view data) {
  incoming_.Append(data);
  if (!incoming_.IsAsExpected(false)) is_malformed_ = true;
}

void ServerStream::OnEnd() {
  if (!incoming_.IsAsExpected(true)) is_malformed_ = true;
  if (is_malformed_) return;
  incoming_.End();
}

bool ServerStream::HandleNews() {
  if (is_closed_) {
    // Its answer is complete; the handler will say so, too. A tunnel's handler has yet to hear that
    // the client has ended, which must not have been by a reset.
    if (!is_finished_ && is_end_sent_ && (!is_tunnel_ || incoming_.is_ended())) {
      if (is_tunnel_) incoming_.Wake();
      return false;
    }
    if (!is_finished_) ClientGone();
    handler_.reset();
    return true;
  }
  if (is_malformed_ && !is_aborted_) {
    is_aborted_ = true;
    connection_.Reset(id_, NGHTTP2_PROTOCOL_ERROR);
    return false;
  }
  if (std::exchange(is_head_new_, false)) Begin();
  if (const size_t credit = std::exchange(credit_, 0); credit > 0) {
    connection_.session().ConsumeStream(id_, credit);
  }
  if (is_begun_ && !is_finished_) incoming_.Wake();
  if (is_end_sent_ && is_finished_) {
    handler_.reset();
    read_deadline_.Unlink();
    // RFC 9113, 8.1: the answer is complete, the rest of the request is not asked for.
    if (!incoming_.is_ended() && !std::exchange(is_aborted_, true)) {
      connection_.Reset(id_, NGHTTP2_NO_ERROR);
    }
  }
  return false;
}

void ServerStream::Begin() {
  const http1::ServerContext& context = connection_.context();
  http::Request& request = handler_->request();
  const bool is_ended = incoming_.is_ended() && incoming_.received_bytes() == 0;
  const HeadVerdict verdict = head_.Finish(is_ended, request);
  is_head_request_ = request.method == http::Method::kHead;
  request.is_grpc = grpc::IsCall(request.method, request.headers);
  switch (verdict.kind) {
    case HeadVerdict::Kind::kOk:
      break;
    case HeadVerdict::Kind::kMalformed:
      is_aborted_ = is_finished_ = true;
      connection_.Reset(id_, NGHTTP2_PROTOCOL_ERROR);
      return;
    case HeadVerdict::Kind::kRefused:
      Refuse(verdict.reason, verdict.message);
      return;
  }
  // Before it was known, anything could come.
  incoming_.Expect(request.body_length);
  if (!incoming_.IsAsExpected(incoming_.is_ended())) {
    is_aborted_ = is_finished_ = true;
    connection_.Reset(id_, NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  if (!request.upgrade.empty()) {
    if (!TakeUpgrade(request)) return;
    BeginHandler(request);
    return;
  }
  const std::optional<uint64_t> max_body = context.MaxBodyBytes(request.headers);
  // What came together with the head was not held against the limit yet.
  if (max_body.has_value() &&
      std::max(request.body_length.value_or(0), incoming_.received_bytes()) > *max_body) {
    Refuse(Reason::kBodyTooLarge, "the body is over the listener's limit");
    return;
  }
  incoming_.SetMaxBytes(max_body);
  if (!is_ended) {
    // All of it is here: HTTP/1 need not be told in chunks.
    if (incoming_.is_ended() && !incoming_.has_trailers() && !request.body_length.has_value()) {
      request.body_length = incoming_.received_bytes();
    }
    request.body = incoming_.NewBody();
  }
  owes_continue_ = request.expects_continue;
  BeginHandler(request);
}

bool ServerStream::TakeUpgrade(http::Request& request) {
  const std::vector<std::string>* allowed = connection_.context().upgrades;
  if (allowed == nullptr) {
    // RFC 8441, 4: without our setting the field does not exist.
    is_aborted_ = is_finished_ = true;
    connection_.Reset(id_, NGHTTP2_PROTOCOL_ERROR);
    return false;
  }
  const std::string_view protocol = tunnel::FindAllowed(request.upgrade, *allowed);
  if (protocol.empty()) {
    Refuse(Reason::kNotImplemented, "this :protocol is not supported");
    return false;
  }
  request.upgrade = protocol;
  // RFC 8441, 5: HTTP/2 has no use for it, and a service of HTTP/1 is sent a key of ours.
  tunnel::RemoveKey(request.headers);
  return true;
}

void ServerStream::BeginHandler(http::Request& request) {
  request.protocol = http::Protocol::kHttp2;
  request.peer_address = connection_.peer_host();
  if (const net::SecureSession* session = connection_.secure_session(); session != nullptr) {
    request.scheme = "https";
    request.peer_identity = session->peer_identity();
    request.peer_certificate = session->forwarded_certificate();
  }
  request.informational = this;
  is_begun_ = true;
  handler_->Start(*this);
}

void ServerStream::Refuse(Reason reason, std::string_view detail) {
  Arena arena;
  http::HeaderList headers;
  const http::StreamHandlerFactory::Rejection rejection = connection_.context().handlers->Reject(
      reason, detail, handler_->request().is_grpc, arena, headers);
  SendHead({.status = rejection.status,
            .headers = &headers,
            .has_body = !rejection.body.empty(),
            .body_length = rejection.body.size()});
  SendData(rejection.body, true);
  Finish(nullptr);
}

void ServerStream::SendHead(const http::ResponseHeadToSend& head) {
  is_head_sent_ = true;
  FieldBlock block;
  block.AddStatus(head.status);
  const bool is_bodiless = is_head_request_ || head.status == 204 || head.status == 304;
  has_answer_body_ = head.has_body && !is_bodiless;
  if (head.status != 204) {
    if (has_answer_body_) answer_left_ = head.body_length;
    // gRPC's trailers-only has a status in place of a length.
    const bool states_none = is_bodiless || head.headers->Has(http::HeaderId::kGrpcStatus);
    const std::optional<uint64_t> zero = states_none ? std::nullopt : std::optional<uint64_t>(0);
    const std::optional<uint64_t> length =
        has_answer_body_ || is_bodiless ? head.body_length : zero;
    if (length.has_value()) block.AddContentLength(*length);
  }
  // A field that must not be written: the parser or the maker of a local reply let it pass.
  if (!block.AddFields(*head.headers) ||
      !connection_.session().SubmitResponse(id_, block, has_answer_body_ ? &outgoing_ : nullptr)) {
    Abort();
    return;
  }
  connection_.FlushLater();
}

std::unique_ptr<http::Body> ServerStream::StartTunnel(const http::ResponseHeadToSend& head) {
  is_head_sent_ = has_answer_body_ = is_tunnel_ = true;
  FieldBlock block;
  block.AddStatus(200);  // RFC 8441, 5: what is 101 in HTTP/1
  if (!block.AddFields(*head.headers) ||
      !connection_.session().SubmitResponse(id_, block, &outgoing_)) {
    Abort();
  }
  connection_.FlushLater();
  return incoming_.NewBody();
}

void ServerStream::SendData(std::string_view data, bool is_last) {
  if (!has_answer_body_ || is_aborted_ || is_closed_) return;
  if (answer_left_.has_value()) {
    if (data.size() > *answer_left_ || (is_last && data.size() < *answer_left_)) {
      Abort();
      return;
    }
    *answer_left_ -= data.size();
  }
  const bool can_lend = outgoing_.empty() && !connection_.is_blocked();
  if (can_lend) {
    outgoing_.Lend(data);
  } else {
    outgoing_.Append(data);
  }
  if (is_last) outgoing_.Finish(nullptr);
  if (outgoing_.is_deferred()) connection_.session().Resume(id_);
  if (can_lend) {
    if (data.size() > kSendLimit) {
      connection_.FlushNow();
    } else {
      connection_.StageNow();
    }
    outgoing_.Keep();
  } else {
    connection_.FlushLater();
  }
  if (!outgoing_.empty()) connection_.AddSending(*this);
}

void ServerStream::Finish(const http::HeaderList* trailers) {
  if (std::exchange(is_finished_, true)) return;
  if (is_closed_ || is_end_sent_) {
    connection_.AddNews(*this);
    return;
  }
  if (answer_left_.value_or(0) > 0) {
    Abort();
    return;
  }
  if (has_answer_body_) {
    outgoing_.Finish(trailers);
    if (outgoing_.is_deferred()) connection_.session().Resume(id_);
  }
  connection_.FlushLater();
}

void ServerStream::Abort() {
  is_finished_ = true;
  if (std::exchange(is_aborted_, true) || is_closed_) return;
  // What was sent before, an event that says why, goes first: a reset overtakes data.
  if (!outgoing_.empty()) connection_.FlushNow();
  outgoing_.Clear();
  connection_.Reset(id_, NGHTTP2_INTERNAL_ERROR);
}

// What only waits for the end of the turn is no reason to stop.
size_t ServerStream::pending_bytes() const {
  const size_t waiting = outgoing_.size();
  return waiting <= kStagedBytes && !connection_.is_blocked() ? 0 : waiting;
}

void ServerStream::CheckSending() {
  const size_t waiting = outgoing_.size();
  if (waiting == 0) {
    sending.Unlink();
    write_deadline_.Unlink();
    sending_bytes_ = 0;
    if (drained_.has_waiter()) drained_.Notify();
    return;
  }
  if (!write_deadline_.is_armed() || waiting < sending_bytes_) {
    connection_.context().write_idle_timeouts->Arm(write_deadline_);
  }
  sending_bytes_ = waiting;
}

void ServerStream::OnInformational(int status, const http::HeaderList& headers) {
  if (is_head_sent_ || is_closed_ || status == 101) return;
  FieldBlock block;
  block.AddStatus(status);
  if (!block.AddFields(headers)) return;
  connection_.session().SubmitInformational(id_, block);
  connection_.FlushLater();
}

void ServerStream::OnBodyConsumed(size_t bytes) {
  credit_ += bytes;
  connection_.AddNews(*this);
}

void ServerStream::OnBodyWait(bool is_waiting) {
  if (is_tunnel_) return;  // it has a limit of its own
  if (!is_waiting) {
    read_deadline_.Unlink();
    return;
  }
  if (std::exchange(owes_continue_, false) && incoming_.received_bytes() == 0) {
    static const http::HeaderList kNone;
    OnInformational(100, kNone);
  }
  // The messages of a call may be far apart: it has a deadline instead.
  if (handler_->request().is_grpc) return;
  connection_.context().body_idle_timeouts->Arm(read_deadline_);
}

void ServerStream::OnReadDeadline() {
  incoming_.Fail(Reason::kRequestTimeout);
  incoming_.Wake();
}

void ServerStream::OnWriteDeadline() {
  if (!is_finished_) ClientGone();
  is_finished_ = is_aborted_ = true;
  handler_.reset();
  outgoing_.Clear();
  connection_.Reset(id_, NGHTTP2_CANCEL);
}

void ServerStream::ClientGone() {
  is_finished_ = true;
  if (is_begun_) handler_->OnClientGone();
}

void ServerStream::Cut() {
  is_closed_ = true;
  if (!is_finished_) ClientGone();
  handler_.reset();
}

void ServerStream::Shutdown() {
  if (is_begun_ && !is_finished_) handler_->OnShutdown();
}

}  // namespace outrigger::http2
