#include "proxy/http2/server_connection.h"

#include <utility>

namespace outrigger::http2 {
namespace {

constexpr size_t kDiscardBytes = 16 * 1024;
// Frames that wait for a client that reads nothing: answers to what it asked without end.
constexpr size_t kMaxQueuedFrames = 2000;
// Windows opened by less than this are an attempt to have each byte sent alone (CVE-2019-9511).
constexpr int32_t kTinyIncrement = 64;
constexpr size_t kFramePayloadBytes = 16 * 1024;

SessionOptions ToOptions(const ServerContext& context) {
  const http1::HeadLimits& limits = context.listener.head_limits;
  SessionOptions options;
  options.max_concurrent_streams = context.max_concurrent_streams;
  options.max_header_list_bytes = static_cast<uint32_t>(limits.max_head_bytes);
  options.allows_tunnels = context.listener.upgrades != nullptr;
  options.max_continuations += limits.max_head_bytes / kFramePayloadBytes;
  return options;
}

}  // namespace

ServerConnection::ServerConnection(const ServerContext& context, int fd, std::string peer_host,
                                   std::function<void()> on_closed,
                                   std::unique_ptr<net::SecureSession> session)
    : context_(context),
      on_closed_(std::move(on_closed)),
      peer_host_(std::move(peer_host)),
      socket_(*context.listener.loop, fd, *this),
      session_(Session::Role::kServer, ToOptions(context), *context.listener.pool, socket_, *this),
      guard_(context.listener.loop->Now()),
      read_deadline_([this] { OnReadDeadline(); }),
      write_deadline_([this] { Close(true); }),
      drain_deadline_([this] { FinishDrain(); }) {
  if (session == nullptr) return;
  socket_.StartTls(std::move(session), /*is_client=*/false);
  // For the handshake and the preface together.
  SetWaits(Waits::kHead);
}

ServerConnection::~ServerConnection() = default;

void ServerConnection::Start(std::string_view received) {
  FlushLater();
  if (!received.empty()) Receive(received);
}

void ServerConnection::Drain() {
  if (state_ != State::kOpen || std::exchange(is_draining_, true)) return;
  // The client may have requests on their way. When its answer to the ping is here, so are they.
  session_.NoticeShutdown();
  FlushNow();  // nghttp2 lets a ping overtake a GOAWAY
  session_.Ping();
  context().linger_timeouts->Arm(drain_deadline_);
  FlushLater();
}

void ServerConnection::FinishDrain() {
  drain_deadline_.Unlink();
  if (state_ != State::kOpen || std::exchange(refuses_streams_, true)) return;
  session_.RefuseNewStreams();
  FlushLater();
}

void ServerConnection::Shutdown() {
  if (state_ == State::kLingering) Close(false);
  if (state_ != State::kOpen) return;
  is_draining_ = true;
  FinishDrain();
  streams_.ForEach([](ServerStream::Node& node) { node.stream.Shutdown(); });
  // Should a client take nothing of what is said.
  SetWaits(Waits::kLinger);
}

void ServerConnection::CloseNow() {
  // The end of the last answer may still be on the way; a reset would take it back.
  if (state_ != State::kClosed) Close(!streams_.empty());
}

void ServerConnection::OnReadable() {
  if (state_ == State::kLingering) {
    char discarded[kDiscardBytes];
    const net::IoResult result = socket_.Receive(discarded, sizeof discarded);
    if (result.status == net::IoStatus::kEnd || result.status == net::IoStatus::kError) {
      Close(false);
    }
    return;
  }
  // Taken for this read only: nghttp2 takes all of it at once.
  net::Block block = context().pool->Take(net::BlockSize::kLarge);
  const net::IoResult result = socket_.Receive(block.data(), block.size());
  switch (result.status) {
    case net::IoStatus::kOk:
      Receive({block.data(), result.bytes});
      return;
    case net::IoStatus::kAgain:
      return;
    case net::IoStatus::kEnd:
      has_peer_closed_ = true;
      if (context().allow_half_close) {
        socket_.PauseReading();
        CancelUnfinished();
        FlushLater();
      } else {
        Close(!streams_.empty());
      }
      return;
    case net::IoStatus::kError:
      // Without a request the end is an orderly one, so that an alert of TLS arrives.
      Close(!streams_.empty());
      return;
  }
}

// The rest of their requests cannot come any more.
void ServerConnection::CancelUnfinished() {
  head_stream_ = kConnection;
  found_ = nullptr;
  streams_.ForEach([this](ServerStream::Node& node) {
    ServerStream& stream = node.stream;
    if (stream.is_ended()) return;
    session_.SetStreamData(stream.id(), nullptr);
    session_.Reset(stream.id(), NGHTTP2_CANCEL);
    stream.OnClosed();
    AddNews(stream);
  });
}

// The client has closed its side, or the connection was reset.
void ServerConnection::OnPeerClosed() {
  if (state_ == State::kClosed) return;
  // An orderly end is met behind what was sent before it.
  if (context().allow_half_close && socket_.TakeError() == 0) return;
  Close(state_ == State::kOpen && !streams_.empty());
}

void ServerConnection::OnWritable() {
  const size_t before = session_.pending_bytes();
  if (!session_.OnWritable()) {
    Close(true);
    return;
  }
  const size_t after = session_.pending_bytes();
  if (after == 0) {
    FlushLater();
  } else if (after < before) {
    context().write_idle_timeouts->Arm(write_deadline_);
  }
}

void ServerConnection::Receive(std::string_view bytes) {
  if (is_failed_) return;
  if (!session_.Receive(bytes)) {
    is_failed_ = true;
    if (flood_.empty() && session_.error() == NGHTTP2_ERR_FLOODED) flood_ = "acks";
    if (session_.error() == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) flood_ = "continuations";
  }
  if (flood_.empty() && session_.is_blocked() && session_.queued_frames() > kMaxQueuedFrames) {
    flood_ = "queued_frames";
  }
  if (!flood_.empty()) {
    context_.on_flood(peer_host_, flood_);
    if (!std::exchange(is_failed_, true)) session_.Terminate(NGHTTP2_ENHANCE_YOUR_CALM);
  }
  if (violation_ != NGHTTP2_NO_ERROR && !std::exchange(is_failed_, true)) {
    session_.Terminate(violation_);
  }
  if (const size_t credit = std::exchange(connection_credit_, 0); credit > 0) {
    session_.ConsumeConnection(credit);
  }
  if (!is_failed_) HandleNews();
  FlushLater();
}

void ServerConnection::OnBeginFrame(int32_t stream_id) {
  if (Find(stream_id) != nullptr) return;
  switch (closed_.Find(stream_id)) {
    case ClosedStreams::Was::kUnknown:
      return;
    case ClosedStreams::Was::kClosed:
      violation_ = NGHTTP2_STREAM_CLOSED;
      return;
    case ClosedStreams::Was::kSkipped:
      violation_ = NGHTTP2_PROTOCOL_ERROR;
      return;
  }
}

void ServerConnection::OnBeginHeaders(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return;
  head_stream_ = frame.hd.stream_id;
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST || !flood_.empty()) return;
  closed_.OnOpened(frame.hd.stream_id);
  auto* stream = new ServerStream(*this, frame.hd.stream_id);
  streams_.PushBack(stream->all);
  session_.SetStreamData(frame.hd.stream_id, stream);
  SetWaits(Waits::kNothing);
}

ServerStream* ServerConnection::Find(int32_t stream_id) {
  if (found_ == nullptr || found_->id() != stream_id) {
    found_ = static_cast<ServerStream*>(session_.stream_data(stream_id));
  }
  return found_;
}

bool ServerConnection::OnHeader(const nghttp2_frame& frame, std::string_view name,
                                std::string_view value) {
  ServerStream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return true;
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) return stream->AddField(name, value);
  stream->AddTrailer(name, value);
  return true;
}

void ServerConnection::OnFrame(const nghttp2_frame& frame) {
  const bool is_last = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const bool is_ack = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS: {
      head_stream_ = kConnection;
      ServerStream* stream = Find(frame.hd.stream_id);
      if (stream == nullptr) return;
      if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream->OnHeadComplete(is_last);
      } else if (is_last) {
        stream->OnEnd();
      } else {
        stream->OnMalformed();  // RFC 9113, 8.1: trailers end the stream
      }
      AddNews(*stream);
      return;
    }
    case NGHTTP2_DATA: {
      ServerStream* stream = Find(frame.hd.stream_id);
      if (is_last) {
        if (stream == nullptr) return;
        stream->OnEnd();
        AddNews(*stream);
      } else if (frame.hd.length == frame.data.padlen) {
        NoteFrame("empty_data");
      }
      return;
    }
    case NGHTTP2_RST_STREAM:
      closed_.OnClosedByClient(frame.hd.stream_id);
      NoteReset("resets");
      return;
    case NGHTTP2_PING:
      if (!is_ack) {
        NoteFrame("pings");
      } else if (is_draining_) {
        FinishDrain();
      }
      return;
    case NGHTTP2_SETTINGS:
      has_settings_ = true;
      if (!is_ack) NoteFrame("settings");
      return;
    case NGHTTP2_PRIORITY:
      NoteFrame("priorities");
      return;
    case NGHTTP2_WINDOW_UPDATE:
      if (frame.window_update.window_size_increment < kTinyIncrement) NoteFrame("tiny_windows");
      return;
    default:
      return;
  }
}

void ServerConnection::OnData(int32_t stream_id, std::string_view data) {
  // Credited at once, so that a stream that nobody reads does not hold up the others (PR-2).
  connection_credit_ += data.size();
  ServerStream* stream = Find(stream_id);
  if (stream == nullptr) return;
  stream->OnData(data);
  AddNews(*stream);
}

void ServerConnection::OnFrameSent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_RST_STREAM) {
    // What the client made us do (CVE-2025-8671).
    switch (frame.rst_stream.error_code) {
      case NGHTTP2_NO_ERROR:
      case NGHTTP2_INTERNAL_ERROR:
      case NGHTTP2_CANCEL:
        return;
      default:
        NoteReset("errors");
        return;
    }
  }
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return;
  guard_.NoteAnswer();
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  ServerStream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->OnEndSent();
  AddNews(*stream);
}

void ServerConnection::OnStreamClosed(int32_t stream_id, uint32_t) {
  // A block that nghttp2 refused has no end that is told.
  if (stream_id == head_stream_) head_stream_ = kConnection;
  ServerStream* stream = Find(stream_id);
  if (stream == nullptr) return;
  session_.SetStreamData(stream_id, nullptr);
  found_ = nullptr;
  if (stream->is_ended()) closed_.OnClosedByClient(stream_id);
  stream->OnClosed();
  AddNews(*stream);
}

void ServerConnection::NoteFrame(std::string_view what) {
  if (!guard_.TakeFrame(context().loop->Now()) && flood_.empty()) flood_ = what;
}

void ServerConnection::NoteReset(std::string_view what) {
  if (!guard_.TakeReset(context().loop->Now()) && flood_.empty()) flood_ = what;
}

void ServerConnection::AddNews(ServerStream& stream) {
  if (!stream.news.is_linked()) news_.PushBack(stream.news);
  FlushLater();
}

void ServerConnection::AddSending(ServerStream& stream) {
  if (!stream.sending.is_linked()) sending_.PushBack(stream.sending);
}

void ServerConnection::Reset(int32_t stream_id, uint32_t error_code) {
  session_.Reset(stream_id, error_code);
  FlushLater();
}

void ServerConnection::StageNow() {
  if (!session_.Stage()) is_broken_ = true;
  FlushLater();
}

void ServerConnection::FlushNow() {
  if (!session_.Pump()) is_broken_ = true;
  FlushLater();
}

void ServerConnection::HandleNews() {
  while (!news_.empty()) {
    ServerStream& stream = news_.front().stream;
    stream.news.Unlink();
    if (!stream.HandleNews()) continue;
    found_ = nullptr;
    delete &stream;
  }
}

void ServerConnection::RunDeferred() {
  if (state_ != State::kOpen) return;
  // Twice: what was sent may end streams, and their ends are to be sent.
  for (int round = 0; round < 2 && !is_broken_; ++round) {
    if (!session_.Pump()) is_broken_ = true;
    if (!is_failed_) HandleNews();
  }
  if (is_broken_) {
    Close(true);
    return;
  }
  sending_.ForEach([](ServerStream::Node& node) { node.stream.CheckSending(); });
  if (session_.is_blocked()) {
    if (!write_deadline_.is_armed()) context().write_idle_timeouts->Arm(write_deadline_);
    return;
  }
  write_deadline_.Unlink();
  const bool is_over = streams_.empty() && (refuses_streams_ || has_peer_closed_);
  if (!session_.wants_write() && (is_over || is_failed_ || !session_.wants_read())) {
    End();
    return;
  }
  UpdateWaits();
}

void ServerConnection::SetWaits(Waits waits) {
  if (waits_ == waits) return;
  waits_ = waits;
  switch (waits) {
    case Waits::kNothing:
      read_deadline_.Unlink();
      return;
    case Waits::kHead:
      context().header_timeouts->Arm(read_deadline_);
      return;
    case Waits::kIdle:
      context().idle_timeouts->Arm(read_deadline_);
      return;
    case Waits::kLinger:
      context().linger_timeouts->Arm(read_deadline_);
      return;
  }
}

void ServerConnection::UpdateWaits() {
  if (waits_ == Waits::kLinger) return;
  if (!has_settings_ || head_stream_ != kConnection) {
    SetWaits(Waits::kHead);
  } else {
    SetWaits(streams_.empty() ? Waits::kIdle : Waits::kNothing);
  }
}

void ServerConnection::OnReadDeadline() {
  const Waits waited = std::exchange(waits_, Waits::kNothing);
  if (state_ == State::kLingering || waited == Waits::kLinger || session_.is_blocked() ||
      socket_.is_handshaking()) {
    Close(!streams_.empty());
    return;
  }
  is_failed_ = true;
  session_.Terminate(NGHTTP2_NO_ERROR);
  FlushLater();
}

void ServerConnection::End() {
  found_ = nullptr;
  while (!streams_.empty()) {
    ServerStream& stream = streams_.front().stream;
    stream.Cut();
    delete &stream;
  }
  if (has_peer_closed_) {
    Close(false);
    return;
  }
  // Closing with unread bytes would make the kernel send a reset, which may overtake what was sent.
  state_ = State::kLingering;
  socket_.ShutdownWrite();
  drain_deadline_.Unlink();
  SetWaits(Waits::kLinger);
}

// REQUIRES: called from the loop, so that nothing of a handler or of nghttp2 is running.
void ServerConnection::Close(bool with_reset) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  found_ = nullptr;
  while (!streams_.empty()) {
    ServerStream& stream = streams_.front().stream;
    stream.Cut();
    delete &stream;
  }
  read_deadline_.Unlink();
  write_deadline_.Unlink();
  drain_deadline_.Unlink();
  socket_.Close(with_reset);
  Deferred::Unlink();
  membership.Unlink();
  on_closed_();
  context().loop->DeferDelete(std::unique_ptr<Deletable>(this));
}

}  // namespace outrigger::http2
