#include "proxy/http2/session.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

namespace outrigger::http2 {
namespace {

using Stays = FieldBlock::Stays;

std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// Beyond what the flood guard allows: a second line of defence inside of nghttp2.
constexpr uint64_t kResetBurst = 1000;
constexpr uint64_t kResetsPerSecond = 1000;
constexpr size_t kMaxOutboundAcks = 2000;

struct OptionDeleter {
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};
struct CallbacksDeleter {
  void operator()(nghttp2_session_callbacks* callbacks) const {
    nghttp2_session_callbacks_del(callbacks);
  }
};

}  // namespace

// Called by nghttp2, which is C: nothing is thrown here.
struct Session::Callbacks {
  static Session& Self(void* user_data) { return *static_cast<Session*>(user_data); }

  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* head, void* user_data) {
    if (head->type == NGHTTP2_HEADERS) Self(user_data).delegate_.OnBeginFrame(head->stream_id);
    return 0;
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Self(user_data).delegate_.OnBeginHeaders(*frame);
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user_data) {
    if (Self(user_data).delegate_.OnHeader(*frame, Text(name, name_size),
                                           Text(value, value_size))) {
      return 0;
    }
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                              NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  // nghttp2 would drop the field and go on: what a peer behind us might have understood otherwise.
  static int OnInvalidHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t*,
                             size_t, const uint8_t*, size_t, uint8_t, void*) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                              NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Self(user_data).delegate_.OnFrame(*frame);
    return 0;
  }

  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Self(user_data).delegate_.OnFrameSent(*frame);
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* data, size_t size,
                    void* user_data) {
    Self(user_data).delegate_.OnData(stream_id, Text(data, size));
    return 0;
  }

  static int OnStreamClosed(nghttp2_session*, int32_t stream_id, uint32_t error_code,
                            void* user_data) {
    Self(user_data).delegate_.OnStreamClosed(stream_id, error_code);
    return 0;
  }

  // The payload goes from the stream to the output without a stop in nghttp2.
  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_head, size_t size,
                      nghttp2_data_source* source, void* user_data) {
    constexpr size_t kFrameHeadBytes = 9;
    Session& self = Self(user_data);
    auto& body = *static_cast<OutgoingBody*>(source->ptr);
    self.output_.Stage(Text(frame_head, kFrameHeadBytes));
    if (!self.output_.Write(body.Front(size))) self.is_broken_ = true;
    body.Consume(size);
    if (self.is_broken_) return NGHTTP2_ERR_CALLBACK_FAILURE;
    return self.is_blocked() ? NGHTTP2_ERR_PAUSE : 0;
  }

  static const nghttp2_session_callbacks* Get() {
    static const std::unique_ptr<nghttp2_session_callbacks, CallbacksDeleter> kCallbacks = [] {
      nghttp2_session_callbacks* made = nullptr;
      if (nghttp2_session_callbacks_new(&made) != 0) std::abort();
      nghttp2_session_callbacks_set_on_begin_frame_callback(made, OnBeginFrame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made, OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
      nghttp2_session_callbacks_set_on_invalid_header_callback(made, OnInvalidHeader);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrame);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, OnFrameSent);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnData);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClosed);
      nghttp2_session_callbacks_set_send_data_callback(made, SendData);
      return std::unique_ptr<nghttp2_session_callbacks, CallbacksDeleter>(made);
    }();
    return kCallbacks.get();
  }
};

Session::Session(Role role, const SessionOptions& options, net::BufferPool& pool,
                 net::Socket& socket, Delegate& delegate)
    : output_(socket, pool),
      memory_(pool.budget()),
      delegate_(delegate),
      scanner_(role == Role::kServer ? NGHTTP2_CLIENT_MAGIC_LEN : 0) {
  nghttp2_option* made = nullptr;
  if (nghttp2_option_new(&made) != 0) std::abort();
  const std::unique_ptr<nghttp2_option, OptionDeleter> option(made);
  nghttp2_option_set_no_auto_window_update(made, 1);
  // They would cost an idle connection more than all else; see closed_streams.h.
  nghttp2_option_set_no_closed_streams(made, 1);
  nghttp2_option_set_max_outbound_ack(made, kMaxOutboundAcks);
  nghttp2_option_set_max_continuations(made, options.max_continuations);
  nghttp2_option_set_stream_reset_rate_limit(made, kResetBurst, kResetsPerSecond);
  const bool is_server = role == Role::kServer;
  if (is_server) {
    // RequestHeadReader and IncomingBody judge requests, more strictly. Doing it twice was a tenth
    // of all instructions of a request.
    nghttp2_option_set_no_http_messaging(made, 1);
  } else {
    // A grpc-message may end with a blank; what else has one is refused when it is read.
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(made, 1);
  }
  const int error = (is_server ? nghttp2_session_server_new3 : nghttp2_session_client_new3)(
      &session_, Callbacks::Get(), this, made, memory_.allocator());
  if (error != 0) std::abort();

  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.max_header_list_bytes},
      is_server ? nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}
                : nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  const bool has_last = !is_server || options.allows_tunnels;
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings,
                          std::size(settings) - (has_last ? 0 : 1));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, kConnection,
                                        options.connection_window_bytes);
  memory_.Settle();
}

Session::~Session() { nghttp2_session_del(session_); }

bool Session::Receive(std::string_view bytes) {
  bool is_ok = true;
  for (std::string_view rest = bytes; is_ok && scanner_.Next(rest);) {
    const FrameScanner::Head head = scanner_.head();
    if (head.type != NGHTTP2_DATA) continue;
    // What nghttp2 knows must be of the frames before this one.
    const auto taken = static_cast<size_t>(rest.data() - bytes.data());
    const size_t before = taken - std::min(taken, FrameScanner::kHeadBytes);
    if (before > 0) is_ok = Feed(bytes.substr(0, before));
    bytes.remove_prefix(before);
    delegate_.OnBeginFrame(head.stream_id);
  }
  if (is_ok) is_ok = Feed(bytes);
  memory_.Settle();
  return is_ok;
}

bool Session::Feed(std::string_view bytes) {
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (taken >= 0) return true;
  error_ = static_cast<int>(taken);
  switch (error_) {
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
      Terminate(NGHTTP2_ENHANCE_YOUR_CALM);
      break;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
      Terminate(NGHTTP2_PROTOCOL_ERROR);
      break;
    default:
      Terminate(NGHTTP2_INTERNAL_ERROR);
      break;
  }
  return false;
}

bool Session::StageFrame() {
  const uint8_t* bytes = nullptr;
  const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
  if (count < 0) is_broken_ = true;
  if (count <= 0) return false;
  output_.Stage(Text(bytes, static_cast<size_t>(count)));
  return true;
}

bool Session::Stage() {
  while (CanStage() && StageFrame()) {
  }
  return !is_broken_;
}

bool Session::Pump() {
  Stage();
  memory_.Settle();
  if (!is_broken_ && !output_.Flush()) is_broken_ = true;
  return !is_broken_;
}

bool Session::SubmitResponse(int32_t stream_id, FieldBlock& fields, OutgoingBody* body) {
  const bool is_direct = CanStage();
  fields.SetFlags(repetition_, is_direct ? Stays::kFieldsAndBlock : Stays::kNothing);
  nghttp2_data_provider provider = {};
  if (body != nullptr) provider = body->provider();
  if (nghttp2_submit_response(session_, stream_id, fields.data(), fields.size(),
                              body != nullptr ? &provider : nullptr) != 0) {
    return false;
  }
  if (is_direct) StageSubmitted();
  return true;
}

int32_t Session::SubmitRequest(FieldBlock& fields, OutgoingBody* body, void* data, size_t others) {
  // Beyond what the peer allows, nghttp2 keeps the request until another stream ends.
  const bool is_direct = CanStage() && others < peer_max_streams();
  fields.SetFlags(repetition_, is_direct ? Stays::kFieldsAndBlock : Stays::kNothing);
  nghttp2_data_provider provider = {};
  if (body != nullptr) provider = body->provider();
  const int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                            body != nullptr ? &provider : nullptr, data);
  if (id > 0 && is_direct) StageSubmitted();
  return id;
}

int Session::SubmitTrailers(int32_t stream_id, FieldBlock& trailers) {
  trailers.SetFlags(repetition_, Stays::kFields);
  return nghttp2_submit_trailer(session_, stream_id, trailers.data(), trailers.size());
}

// All of the queue, which has no DATA in it: nothing stops this half-way.
void Session::StageSubmitted() {
  while (queued_frames() > 0 && StageFrame()) {
  }
}

bool Session::SubmitInformational(int32_t stream_id, const FieldBlock& fields) {
  return nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream_id, nullptr, fields.data(),
                                fields.size(), nullptr) == 0;
}

void Session::Reset(int32_t stream_id, uint32_t error_code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_id, error_code);
}

void Session::ConsumeStream(int32_t stream_id, size_t bytes) {
  nghttp2_session_consume_stream(session_, stream_id, bytes);
}

void Session::ConsumeConnection(size_t bytes) {
  nghttp2_session_consume_connection(session_, bytes);
}

void Session::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void Session::RefuseNewStreams() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

void Session::Terminate(uint32_t error_code) {
  nghttp2_session_terminate_session(session_, error_code);
}

}  // namespace outrigger::http2
