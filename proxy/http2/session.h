// A thin owner of one nghttp2 session, for either side of a connection.
//
//   Session session(Session::Role::kServer, options, pool, socket, delegate);
//   if (!session.Receive(bytes)) -> session.error() says why; send what is left and close
//   delegate's news are looked at, handlers run, answers are submitted
//   if (!session.Pump()) -> the connection broke              // at the end of the turn: one send
//
// While nghttp2 runs (in Receive() and Pump()), the delegate is told what happens and only records
// it: it starts no handler, destroys nothing and does not call the session. What follows from the
// records is done after the call has returned.
//
// Nothing is taken from nghttp2 while the kernel does not take what was sent before, so that what
// waits is in the streams' OutgoingBody, where their senders see it. `socket`, `pool` and
// `delegate` outlive the session. One worker.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/http2/field_block.h"
#include "proxy/http2/frame_scanner.h"
#include "proxy/http2/outgoing_body.h"
#include "proxy/http2/session_memory.h"
#include "proxy/net/output.h"
#include "proxy/net/socket.h"

namespace outrigger::http2 {

// The stream id of the connection itself.
inline constexpr int32_t kConnection = 0;

struct SessionOptions {
  uint32_t max_concurrent_streams = 128;
  uint32_t max_header_list_bytes = 64 * 1024;
  int32_t connection_window_bytes = 1 << 20;
  // Frames that may continue one block of fields (CVE-2024-27316).
  size_t max_continuations = 8;
  // Of servers: requests may open tunnels (RFC 8441).
  bool allows_tunnels = false;
};

class Session {
 public:
  enum class Role : uint8_t { kServer, kClient };

  class Delegate {
   public:
    virtual ~Delegate() = default;
    // The head of a HEADERS or DATA frame has come, also of one that will be ignored.
    virtual void OnBeginFrame(int32_t stream_id) = 0;
    // A block of fields begins.
    virtual void OnBeginHeaders(const nghttp2_frame& frame) = 0;
    // False: the block is not worth decoding further; its stream is reset with ENHANCE_YOUR_CALM.
    virtual bool OnHeader(const nghttp2_frame& frame, std::string_view name,
                          std::string_view value) = 0;
    // All of a frame, or of a block of fields, has come.
    virtual void OnFrame(const nghttp2_frame& frame) = 0;
    virtual void OnData(int32_t stream_id, std::string_view data) = 0;
    // A frame has gone to the output.
    virtual void OnFrameSent(const nghttp2_frame& frame) = 0;
    // Nothing more comes or goes on the stream; its data was all that nghttp2 knew of it.
    virtual void OnStreamClosed(int32_t stream_id, uint32_t error_code) = 0;
  };

  Session(Role role, const SessionOptions& options, net::BufferPool& pool, net::Socket& socket,
          Delegate& delegate);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // False: the session cannot go on. A GOAWAY that says why has been submitted.
  bool Receive(std::string_view bytes);
  // Sends what streams have and windows allow, until the kernel takes no more. False: broken.
  bool Pump();
  // The same, but small frames wait for the next Pump(). False: broken.
  bool Stage();
  // The socket is writable again: sends what waited. False: broken.
  bool OnWritable() { return output_.OnWritable(); }

  // Whether bytes wait for the kernel.
  bool is_blocked() const { return output_.pending_bytes() > 0; }
  size_t pending_bytes() const { return output_.pending_bytes(); }
  bool wants_read() const { return nghttp2_session_want_read(session_) != 0; }
  bool wants_write() const { return nghttp2_session_want_write(session_) != 0; }
  size_t queued_frames() const { return nghttp2_session_get_outbound_queue_size(session_); }
  int error() const { return error_; }

  // How many streams the peer allows at a time.
  uint32_t peer_max_streams() const {
    return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  }
  // Whether the peer, a server, lets requests open tunnels (RFC 8441).
  bool peer_allows_tunnels() const {
    return nghttp2_session_get_remote_settings(session_,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
  }
  // Whether requests can still be submitted: no GOAWAY, and ids are left.
  bool allows_requests() const { return nghttp2_session_check_request_allowed(session_) != 0; }

  void SetStreamData(int32_t stream_id, void* data) {
    nghttp2_session_set_stream_user_data(session_, stream_id, data);
  }
  void* stream_data(int32_t stream_id) const {
    return nghttp2_session_get_stream_user_data(session_, stream_id);
  }

  // These submit frames for the next Pump(). False: the stream is gone, or memory is.
  // `body` null: the head ends the stream. A head that can go to the output does so at once, from
  // where its fields are. What is submitted to follow a body comes from `body` itself.
  bool SubmitResponse(int32_t stream_id, FieldBlock& fields, OutgoingBody* body);
  // The new stream's id, or a negative error; `data` is its stream data. `others`: how many
  // other streams there are, or more.
  int32_t SubmitRequest(FieldBlock& fields, OutgoingBody* body, void* data, size_t others);
  // From an OutgoingBody, whose trailers stay where they are. 0, or an error of nghttp2.
  int SubmitTrailers(int32_t stream_id, FieldBlock& trailers);
  bool SubmitInformational(int32_t stream_id, const FieldBlock& fields);
  void Resume(int32_t stream_id) { nghttp2_session_resume_data(session_, stream_id); }
  void Reset(int32_t stream_id, uint32_t error_code);
  // Bytes of DATA that need no room any more: of the stream's window, and of the connection's.
  void ConsumeStream(int32_t stream_id, size_t bytes);
  void ConsumeConnection(size_t bytes);
  void Ping();
  // GOAWAY in two steps (RFC 9113, 6.8): first one that lets streams on their way come in.
  void NoticeShutdown() { nghttp2_submit_shutdown_notice(session_); }
  void RefuseNewStreams();
  // GOAWAY that ends everything.
  void Terminate(uint32_t error_code);

 private:
  struct Callbacks;

  bool Feed(std::string_view bytes);
  // Takes the next frame from nghttp2 to the output. False: there is none, or all is broken.
  bool StageFrame();
  bool CanStage() const { return !is_blocked() && !is_broken_; }
  // Takes what was submitted to the output.
  void StageSubmitted();

  net::Output output_;
  SessionMemory memory_;
  Delegate& delegate_;
  FrameScanner scanner_;
  FieldRepetition repetition_;
  nghttp2_session* session_ = nullptr;
  int error_ = 0;
  bool is_broken_ = false;
};

}  // namespace outrigger::http2
