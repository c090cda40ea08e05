#include "proxy/http1/client_connection.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/http1/serializer.h"

namespace outrigger::http1 {

using http::Chunk;
using http::ChunkResult;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

namespace {

constexpr HeadLimits kResponseLimits;
// Of all interim responses to a request: a service that sends them without end would have them
// pile up for a client that reads slowly. Each counts for more than its bytes.
constexpr size_t kMaxInterimBytes = 4 * kResponseLimits.max_head_bytes;
constexpr size_t kInterimOverhead = 128;

// For clients of HTTP/1.0 that name no host: HTTP/1.1 must have one, and not every service takes an
// empty one.
constexpr std::string_view kNamelessHost = "localhost";

BodyFraming FramingOf(const http::RequestHeadToSend& head) {
  if (head.body_length.has_value()) return {BodyKind::kLength, *head.body_length};
  return head.has_body ? BodyFraming{BodyKind::kChunked, 0} : BodyFraming{};
}

}  // namespace

ClientConnection::ClientConnection(EventLoop& loop, net::BufferPool& pool, int fd)
    : loop_(loop),
      pool_(pool),
      socket_(loop, fd, *this),
      output_(socket_, pool),
      readable_(loop),
      drained_(loop),
      continued_(loop) {
  socket_.WantWrite(true);
}

ClientConnection::~ClientConnection() = default;

Task<int> ClientConnection::WaitConnected() {
  while (is_connecting_) co_await drained_.Wait();
  co_return socket_.is_open() ? socket_.TakeError() : ECONNRESET;
}

void ClientConnection::StartTls(std::unique_ptr<net::SecureSession> session) {
  is_connecting_ = true;
  socket_.StartTls(std::move(session), /*is_client=*/true);
}

void ClientConnection::StartExchange(const http::RequestHeadToSend& head) {
  method_ = head.method;
  upgrade_ = head.upgrade;
  progress_ = {};
  framing_ = {};
  decoder_.Reset();
  left_ = 0;
  to_skip_ = 0;
  interim_bytes_ = 0;
  has_bytes_ = has_head_ = is_body_done_ = is_request_complete_ = false;
  readable_.Clear();
  drained_.Clear();
  continued_.Clear();
  ++exchanges_;
}

bool ClientConnection::SendHead(const http::RequestHeadToSend& head) {
  StartExchange(head);
  const BodyFraming framing = FramingOf(head);
  request_kind_ = framing.kind;
  request_left_ = framing.length;
  const RequestLine line{head.method_name, head.target, {}};
  HeadOptions options;
  options.skipped = head.skipped;
  options.extra = head.added;
  options.upgrade = upgrade_;
  http::HeaderList with_key;
  if (upgrade_ == tunnel::kWebSocket) {
    key_ = tunnel::NewKey();
    if (head.added != nullptr) with_key = *head.added;
    with_key.Add(tunnel::kKeyField, key_.view());
    if (head.headers->Find(tunnel::kVersionField) == nullptr) {
      with_key.Add(tunnel::kVersionField, tunnel::kVersion);  // a client of HTTP/2 may leave it out
    }
    options.extra = &with_key;
  }
  if (!head.headers->ids().Contains(http::HeaderId::kHost)) {
    options.host = head.authority.empty() ? kNamelessHost : head.authority;
  }
  const size_t room = MaxHeadBytes(line, *head.headers, options);
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteRequestHead(sink, line, *head.headers, framing, options) != WriteResult::kOk) {
    return false;
  }
  output_.Commit(static_cast<size_t>(sink.at - at));
  loop_.Defer(*this);
  return true;
}

bool ClientConnection::SendData(std::string_view data) {
  if (data.empty()) return !is_broken_;
  if (request_kind_ != BodyKind::kChunked) {
    // The service has all it was promised and may answer before the client says that this was all.
    request_left_ -= std::min<uint64_t>(request_left_, data.size());
    is_request_complete_ = is_request_complete_ || request_left_ == 0;
    return Send(data);
  }
  char* at = output_.Reserve(kMaxChunkHeaderBytes);
  ByteSink sink{at, at + kMaxChunkHeaderBytes};
  (void)WriteChunkHeader(sink, data.size());  // the room is there
  output_.Commit(static_cast<size_t>(sink.at - at));
  return Send(data, kChunkEnd);
}

bool ClientConnection::Finish(const http::HeaderList* trailers) {
  if (is_tunnel_) {
    owes_fin_ = true;
    if (is_broken_ || !output_.Flush()) {
      SendFailed();
      return false;
    }
    SendFin();
    return true;
  }
  if (request_kind_ == BodyKind::kChunked) {
    static const http::HeaderList kNoTrailers;
    const http::HeaderList& fields = trailers != nullptr ? *trailers : kNoTrailers;
    const size_t room = MaxHeadBytes(std::string_view(), fields, {});
    char* at = output_.Reserve(room);
    ByteSink sink{at, at + room};
    // The service would wait for the rest: the exchange cannot end well.
    if (WriteLastChunk(sink, fields) != WriteResult::kOk) return false;
    output_.Commit(static_cast<size_t>(sink.at - at));
  }
  is_request_complete_ = true;
  return Send({});
}

bool ClientConnection::Send(std::string_view data, std::string_view tail) {
  if (is_broken_) return false;
  if (!output_.Write(data, tail)) {
    SendFailed();
    return false;
  }
  if (output_.staged_bytes() > 0) loop_.Defer(*this);
  return true;
}

void ClientConnection::RunDeferred() {
  if (!is_broken_ && !output_.Flush()) SendFailed();
}

void ClientConnection::SendFin() {
  if (!owes_fin_ || output_.pending_bytes() > 0) return;
  owes_fin_ = false;
  is_fin_sent_ = true;
  socket_.ShutdownWrite();
}

// The service may have answered before it closed: reading goes on and decides.
void ClientConnection::SendFailed() {
  is_broken_ = true;
  readable_.Notify();
}

void ClientConnection::OnWritable() {
  if (is_connecting_) {
    is_connecting_ = false;
    socket_.WantWrite(false);
    drained_.NotifyFromLoop();
    return;
  }
  if (!output_.OnWritable()) {
    is_broken_ = true;
    drained_.NotifyFromLoop();
    readable_.Notify();
    return;
  }
  if (output_.pending_bytes() > 0) return;
  SendFin();
  drained_.NotifyFromLoop();
}

void ClientConnection::OnReadable() {
  if (is_connecting_) {
    OnWritable();
    return;
  }
  if (idle_owner_ != nullptr) {
    idle_owner_->OnIdleClosed(*this);
    return;
  }
  Receive();
}

// The end of the stream is read in order, behind the bytes before it; here only idle connections
// have something to do.
void ClientConnection::OnPeerClosed() {
  if (idle_owner_ != nullptr) {
    idle_owner_->OnIdleClosed(*this);
  } else if (is_connecting_) {
    OnWritable();
  }
}

bool ClientConnection::HasRoom() {
  if (!buffer_.has_block() || buffer_.room() > 0) return true;
  // Moving the bytes would invalidate what the reader holds.
  return readable_.has_waiter() && to_skip_ == 0 && !buffer_.is_full();
}

void ClientConnection::Receive() {
  if (!HasRoom()) {
    socket_.PauseReading();
    return;
  }
  const bool is_large = has_head_ && left_ > net::BufferPool::kSmallBytes;
  buffer_.Prepare(pool_, is_large ? net::BlockSize::kLarge : net::BlockSize::kSmall);
  const net::IoResult result = socket_.Receive(buffer_.room_begin(), buffer_.room());
  switch (result.status) {
    case net::IoStatus::kOk:
      buffer_.Commit(result.bytes);
      has_bytes_ = true;
      break;
    case net::IoStatus::kAgain:
      if (buffer_.empty()) buffer_.Clear();
      return;
    case net::IoStatus::kEnd:
      is_ended_ = true;
      socket_.PauseReading();
      break;
    case net::IoStatus::kError:
      is_ended_ = is_broken_ = true;
      socket_.PauseReading();
      break;
  }
  if (buffer_.empty()) buffer_.Clear();
  readable_.NotifyFromLoop();
}

Failure ClientConnection::BrokenBeforeHead() const {
  const net::SecureSession* session = socket_.secure_session();
  if (session != nullptr && session->was_refused()) {
    return {.reason = Reason::kConnectFail, .phase = Phase::kConnect, .executed = Executed::kNo};
  }
  const bool is_sent = is_request_complete_ && output_.pending_bytes() == 0;
  return {.reason = Reason::kUpstreamReset,
          .phase = is_sent ? Phase::kAwaitingHead : Phase::kSending,
          .executed = Executed::kMaybe,
          .on_reused_connection = exchanges_ > 1 && !has_bytes_};
}

Failure ClientConnection::BodyFailure(Reason reason) const {
  return {.reason = reason, .phase = Phase::kBody, .executed = Executed::kMaybe};
}

Task<Expected<http::ReceivedHead, Failure>> ClientConnection::ReadHead(
    http::HeaderList& headers, http::InformationalSink* sink) {
  for (;;) {
    ResponseHead head;
    const HeadResult result = buffer_.empty() ? HeadResult{}
                                              : ParseResponseHead(buffer_.view(), progress_,
                                                                  kResponseLimits, head, headers);
    if (result.status == HeadStatus::kError) {
      has_protocol_error_ = true;
      co_return Failure{.reason = Reason::kUpstreamProtocol,
                        .phase = Phase::kAwaitingHead,
                        .executed = Executed::kMaybe};
    }
    if (result.status == HeadStatus::kIncomplete) {
      if (is_ended_ || (is_broken_ && !socket_.is_open())) co_return BrokenBeforeHead();
      if (buffer_.is_full()) buffer_.Grow(pool_);
      socket_.ResumeReading();
      co_await readable_.Wait();
      continue;
    }
    const FramingError error = GetResponseFraming(method_, head, headers, framing_);
    if (error.ok() && head.status == 101 && TrySwitch(headers).empty()) {
      has_head_ = true;
      to_skip_ = result.consumed;
      co_return http::ReceivedHead{.status = 101, .has_body = true};
    }
    if (head.status < 200) interim_bytes_ += result.consumed + kInterimOverhead;
    if (!error.ok() || head.status == 101 || interim_bytes_ > kMaxInterimBytes) {
      has_protocol_error_ = true;
      co_return Failure{.reason = Reason::kUpstreamProtocol,
                        .phase = Phase::kAwaitingHead,
                        .executed = Executed::kMaybe};
    }
    if (head.status >= 200) {
      has_head_ = true;
      left_ = framing_.body.length;
      is_body_done_ = !framing_.body.has_body();
      to_skip_ = result.consumed;
      continued_.Notify();
      http::ReceivedHead received;
      received.status = head.status;
      received.has_body = framing_.body.has_body();
      received.is_framed = framing_.body.kind != BodyKind::kUntilClose;
      received.body_length = framing_.body.kind == BodyKind::kLength
                                 ? std::optional<uint64_t>(framing_.body.length)
                                 : framing_.declared_length;
      co_return received;
    }
    if (head.status == 100) {
      continued_.Notify();
    } else if (sink != nullptr) {
      sink->OnInformational(head.status, headers);
    }
    buffer_.Consume(result.consumed);
    progress_ = {};
  }
}

std::string_view ClientConnection::TrySwitch(http::HeaderList& headers) {
  const std::string_view problem =
      tunnel::CheckSwitch(upgrade_, key_.view(), framing_.upgrade, headers);
  if (!problem.empty()) return problem;
  tunnel::RemoveAccept(headers);
  is_tunnel_ = true;
  // The service's bytes end with its side of the connection, which serves nothing else any more.
  framing_.body = {BodyKind::kUntilClose, 0};
  framing_.keep_alive = false;
  return {};
}

// The end of a chunked body usually stands right behind its last data; knowing it together with the
// data lets both leave in one send. Only the fixed form is looked for; everything else is left to
// the next read.
void ClientConnection::TakeChunkedEnd(std::string_view input) {
  constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
  if (input.substr(to_skip_) != kEnd) return;
  const ChunkedDecoder::Step step = decoder_.Next(input.substr(to_skip_));
  is_body_done_ = step.status == ChunkedDecoder::Status::kDone;
  to_skip_ += step.consumed;
}

std::string_view ClientConnection::Take() {
  buffer_.Consume(std::exchange(to_skip_, 0));
  while (!is_body_done_ && !buffer_.empty()) {
    const std::string_view input = buffer_.view();
    if (framing_.body.kind == BodyKind::kUntilClose) {
      to_skip_ = input.size();
      return input;
    }
    if (framing_.body.kind == BodyKind::kLength) {
      const std::string_view data = input.substr(0, std::min<uint64_t>(left_, input.size()));
      left_ -= data.size();
      is_body_done_ = left_ == 0;
      to_skip_ = data.size();
      return data;
    }
    const ChunkedDecoder::Step step = decoder_.Next(input);
    if (step.status == ChunkedDecoder::Status::kData) {
      to_skip_ = step.consumed;
      TakeChunkedEnd(input);
      return step.data;
    }
    buffer_.Consume(step.consumed);
    if (step.status == ChunkedDecoder::Status::kDone) is_body_done_ = true;
    if (step.status == ChunkedDecoder::Status::kError) {
      has_protocol_error_ = true;
      return {};
    }
  }
  return {};
}

std::optional<ChunkResult> ClientConnection::TryReadBody() {
  const std::string_view data = Take();
  if (!data.empty() || is_body_done_) return Chunk{data, is_body_done_};
  if (has_protocol_error_) return BodyFailure(Reason::kUpstreamProtocol);
  if (!is_ended_) return std::nullopt;
  if (framing_.body.kind == BodyKind::kUntilClose && !is_broken_) {
    is_body_done_ = true;
    return Chunk{{}, true};
  }
  return BodyFailure(Reason::kUpstreamReset);
}

Task<ChunkResult> ClientConnection::ReadBody() {
  for (;;) {
    const std::optional<ChunkResult> ready = TryReadBody();
    if (ready.has_value()) co_return *ready;
    socket_.ResumeReading();
    co_await readable_.Wait();
  }
}

const http::HeaderList* ClientConnection::trailers() const {
  if (framing_.body.kind != BodyKind::kChunked || !is_body_done_) return nullptr;
  return decoder_.trailers().empty() ? nullptr : &decoder_.trailers();
}

void ClientConnection::Abort() {
  is_broken_ = is_ended_ = true;
  buffer_.Clear();
  to_skip_ = 0;
  socket_.Close(/*with_reset=*/true);
  readable_.Notify();
}

bool ClientConnection::is_reusable() const {
  return has_head_ && is_body_done_ && is_request_complete_ && framing_.keep_alive && !is_ended_ &&
         !is_broken_ && !has_protocol_error_ && buffer_.size() == to_skip_ &&
         output_.pending_bytes() == 0 && output_.staged_bytes() == 0;
}

void ClientConnection::SetIdleOwner(IdleOwner* owner) {
  idle_owner_ = owner;
  if (owner == nullptr) return;
  buffer_.Clear();
  to_skip_ = 0;
  socket_.ResumeReading();
}

void ClientConnection::CloseAndDelete(bool with_reset) {
  idle_owner_ = nullptr;
  Deferred::Unlink();
  socket_.Close(with_reset);
  loop_.DeferDelete(std::unique_ptr<Deletable>(this));
}

}  // namespace outrigger::http1
