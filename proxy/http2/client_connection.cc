#include "proxy/http2/client_connection.h"

#include <algorithm>
#include <utility>

namespace outrigger::http2 {

using http::Reason;

namespace {

// Between two answers. Servers of gRPC end the connection, and all that runs on it, at the fourth
// PING without one, for minutes.
constexpr int kMaxProbes = 2;

SessionOptions Options() {
  constexpr size_t kFramePayloadBytes = 16 * 1024;
  SessionOptions options;
  options.max_header_list_bytes = http1::HeadLimits{}.max_head_bytes;
  options.max_continuations += options.max_header_list_bytes / kFramePayloadBytes;
  return options;
}

}  // namespace

ClientConnection::ClientConnection(EventLoop& loop, net::BufferPool& pool, int fd,
                                   const Timeouts& timeouts, const NewSession& new_session,
                                   Owner& owner)
    : loop_(loop),
      pool_(pool),
      timeouts_(timeouts),
      new_session_(new_session),
      owner_(owner),
      socket_(loop, fd, *this),
      session_(Session::Role::kClient, Options(), pool, socket_, *this),
      deadline_([this] { OnDeadline(); }),
      probe_deadline_([this] { Finish(End::kByUs); }) {
  socket_.WantWrite(true);
  timeouts_.connect.Arm(deadline_);
}

ClientConnection::~ClientConnection() = default;

uint32_t ClientConnection::max_streams() const {
  return std::min(session_.peer_max_streams(), kMaxStreams);
}

size_t ClientConnection::room() const {
  if (state_ != State::kOpen) return 0;
  const size_t max = max_streams();
  return max > open_streams_ ? max - open_streams_ : 0;
}

ClientStreamPtr ClientConnection::NewStream() {
  ClientStreamPtr stream(new ClientStream(*this, opened_streams_ > 0));
  streams_.PushBack(stream->all);
  ++opened_streams_;
  ++open_streams_;
  deadline_.Unlink();
  return stream;
}

void ClientConnection::Remove(ClientStream& stream) {
  found_ = nullptr;
  stream.all.Unlink();
  stream.news.Unlink();
  stream.sending.Unlink();
  --open_streams_;
  has_changed_ = true;
  FlushLater();
}

void ClientConnection::AddNews(ClientStream& stream) {
  if (!stream.news.is_linked()) news_.PushBack(stream.news);
  FlushLater();
}

void ClientConnection::AddSending(ClientStream& stream) {
  if (!stream.sending.is_linked()) sending_.PushBack(stream.sending);
}

void ClientConnection::Reset(int32_t stream_id, uint32_t error_code) {
  session_.Reset(stream_id, error_code);
  FlushLater();
}

void ClientConnection::FlushNow() {
  if (!session_.Pump()) is_broken_ = true;
  FlushLater();
}

void ClientConnection::Probe() {
  if (probe_deadline_.is_armed()) return;
  if (probes_ == kMaxProbes) return;
  ++probes_;
  session_.Ping();
  timeouts_.settings.Arm(probe_deadline_);
  FlushLater();
}

void ClientConnection::OnConnected() {
  socket_.WantWrite(false);
  if (socket_.TakeError() != 0) {
    Finish(End::kConnectFailed);
    return;
  }
  if (!new_session_) {
    Greet();
    return;
  }
  state_ = State::kHandshake;
  timeouts_.handshake.Arm(deadline_);
  socket_.StartTls(new_session_(socket_.fd()), /*is_client=*/true);
}

void ClientConnection::OnSecured() { Greet(); }

void ClientConnection::Greet() {
  state_ = State::kGreeting;
  timeouts_.settings.Arm(deadline_);
  FlushLater();
}

void ClientConnection::OnWritable() {
  if (state_ == State::kConnecting) {
    OnConnected();
    return;
  }
  if (!session_.OnWritable()) is_broken_ = true;
  if (is_broken_ || !session_.is_blocked()) FlushLater();
}

void ClientConnection::OnReadable() {
  if (state_ == State::kConnecting) {
    OnConnected();
    if (state_ != State::kGreeting) return;
  }
  if (state_ == State::kHandshake) {
    Finish(End::kConnectFailed);  // it has failed
    return;
  }
  // Taken for this read only: nghttp2 takes all of it at once.
  net::Block block = pool_.Take(net::BlockSize::kLarge);
  const net::IoResult result = socket_.Receive(block.data(), block.size());
  switch (result.status) {
    case net::IoStatus::kOk:
      Receive({block.data(), result.bytes});
      return;
    case net::IoStatus::kAgain:
      return;
    case net::IoStatus::kEnd:
    case net::IoStatus::kError:
      Finish(End::kByService);
      return;
  }
}

// The end is met in order, behind the bytes before it.
void ClientConnection::OnPeerClosed() {
  if (state_ == State::kConnecting) OnConnected();
}

void ClientConnection::Receive(std::string_view bytes) {
  if (is_failed_) return;
  received_bytes_ += bytes.size();
  probe_deadline_.Unlink();
  if (!session_.Receive(bytes)) is_failed_ = true;
  if (const size_t credit = std::exchange(connection_credit_, 0); credit > 0) {
    session_.ConsumeConnection(credit);
  }
  HandleNews();
  FlushLater();
}

ClientStream* ClientConnection::Find(int32_t stream_id) {
  if (found_ == nullptr || found_id_ != stream_id) {
    found_ = static_cast<ClientStream*>(session_.stream_data(stream_id));
    found_id_ = stream_id;
  }
  return found_;
}

void ClientConnection::OnBeginHeaders(const nghttp2_frame& frame) {
  ClientStream* stream = Find(frame.hd.stream_id);
  if (stream != nullptr) stream->BeginFields();
}

bool ClientConnection::OnHeader(const nghttp2_frame& frame, std::string_view name,
                                std::string_view value) {
  ClientStream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr || stream->AddField(name, value)) return true;
  AddNews(*stream);
  return false;
}

void ClientConnection::OnFrame(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) has_settings_ = has_changed_ = true;
      return;
    case NGHTTP2_GOAWAY:
      has_changed_ = true;
      return;
    default:
      break;
  }
  if (frame.hd.type == NGHTTP2_HEADERS) probes_ = 0;
  ClientStream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  const bool is_last = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      stream->OnFieldsComplete(is_last);
      AddNews(*stream);
      return;
    case NGHTTP2_DATA:
      if (!is_last) return;
      stream->OnEnd();
      AddNews(*stream);
      return;
    case NGHTTP2_RST_STREAM:
      stream->OnReset();
      return;
    default:
      return;
  }
}

void ClientConnection::OnData(int32_t stream_id, std::string_view data) {
  connection_credit_ += data.size();
  probes_ = 0;
  ClientStream* stream = Find(stream_id);
  if (stream == nullptr) return;
  stream->OnData(data);
  AddNews(*stream);
}

void ClientConnection::OnFrameSent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_GOAWAY) {
    has_violation_ |= frame.goaway.error_code != NGHTTP2_NO_ERROR;
    return;
  }
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return;
  ClientStream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  if (frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    stream->OnHeadSent();
  }
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) stream->OnEndSent();
}

void ClientConnection::OnStreamClosed(int32_t stream_id, uint32_t error_code) {
  ClientStream* stream = Find(stream_id);
  if (stream == nullptr) return;
  session_.SetStreamData(stream_id, nullptr);
  found_ = nullptr;
  stream->OnClosed(error_code);
  AddNews(*stream);
}

void ClientConnection::HandleNews() {
  while (!news_.empty()) {
    ClientStream& stream = news_.front().stream;
    stream.news.Unlink();
    stream.HandleNews();
  }
}

void ClientConnection::RunDeferred() {
  if (state_ < State::kGreeting || state_ == State::kClosed) return;
  // Twice: what was sent may end streams, and their ends are to be sent.
  for (int round = 0; round < 2 && !is_broken_; ++round) {
    if (!session_.Pump()) is_broken_ = true;
    HandleNews();
  }
  if (is_broken_) {
    ReadRest();
    return;
  }
  sending_.ForEach([](ClientStream::Node& node) { node.stream.CheckSending(); });
  const bool is_over =
      !session_.wants_read() || (open_streams_ == 0 && !session_.allows_requests());
  if (is_failed_ || (is_over && !session_.wants_write() && !session_.is_blocked())) {
    Finish(End::kByService);
    return;
  }
  UpdateState();
}

// The service may have answered before it closed.
void ClientConnection::ReadRest() {
  net::Block block = pool_.Take(net::BlockSize::kLarge);
  while (!is_failed_) {
    const net::IoResult result = socket_.Receive(block.data(), block.size());
    if (result.status != net::IoStatus::kOk) break;
    Receive({block.data(), result.bytes});
  }
  Finish(End::kByService);
}

void ClientConnection::UpdateState() {
  if (!std::exchange(has_changed_, false)) return;
  if (state_ == State::kGreeting && has_settings_) {
    state_ = State::kOpen;
    deadline_.Unlink();
    owner_.OnOpen(*this);
  }
  if (state_ == State::kOpen && !session_.allows_requests()) {
    state_ = State::kLeaving;
    deadline_.Unlink();
  }
  if (is_idle() && !deadline_.is_armed()) {
    idle_since_ = loop_.Now();
    timeouts_.idle.Arm(deadline_);
  }
  owner_.OnChange(*this);
}

void ClientConnection::OnDeadline() {
  if (state_ != State::kOpen) {
    Finish(End::kConnectFailed);
    return;
  }
  session_.Terminate(NGHTTP2_NO_ERROR);
  session_.Pump();
  Finish(End::kByUs);
}

void ClientConnection::Finish(End end) {
  if (state_ == State::kClosed) return;
  if (is_connecting()) end = End::kConnectFailed;
  if (is_idle() && end == End::kByService) end = End::kWhileIdle;
  Streams lost;
  Close(lost);
  owner_.OnEnd(*this, end);
  Wake(lost);
}

void ClientConnection::CloseNow() {
  if (state_ == State::kClosed) return;
  if (is_open()) {
    session_.Terminate(NGHTTP2_NO_ERROR);
    session_.Pump();
  }
  Streams lost;
  Close(lost);
  Wake(lost);
}

// REQUIRES: called from the loop, so that nothing of nghttp2 is running.
void ClientConnection::Close(Streams& lost) {
  state_ = State::kClosed;
  found_ = nullptr;
  const bool is_at_fault = is_failed_ || has_violation_;
  while (!streams_.empty()) {
    ClientStream& stream = streams_.front().stream;
    stream.all.Unlink();
    stream.news.Unlink();
    stream.sending.Unlink();
    stream.OnConnectionLost(is_at_fault ? Reason::kUpstreamProtocol : Reason::kUpstreamReset);
    lost.PushBack(stream.all);
  }
  open_streams_ = 0;
  deadline_.Unlink();
  probe_deadline_.Unlink();
  socket_.Close();
  Deferred::Unlink();
  loop_.DeferDelete(std::unique_ptr<Deletable>(this));
}

// Last: who is woken may let go of streams and ask for others.
void ClientConnection::Wake(Streams& lost) {
  while (!lost.empty()) {
    ClientStream& stream = lost.front().stream;
    stream.all.Unlink();
    stream.Wake();
  }
}

}  // namespace outrigger::http2
