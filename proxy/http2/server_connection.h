// An HTTP/2 connection from a client: gives each stream to a handler and writes the answers.
//
//   auto* connection = new ServerConnection(context, std::move(handover));     // owns itself
//   listener.connections.PushBack(connection->membership);
//   connection->Start(received);
//
// The preface has not been consumed: `received` begins with it, or is empty. Everything that the
// streams send in a turn of the loop leaves in one send at its end. The connection ends when the
// client closes or breaks the protocol, when it idles too long, when it floods (semantics PR-2), or
// after Drain() when its last stream has ended. It then hands itself to Loop::DeferDelete.
//
// A client that closes its side is taken to be gone unless `allow_half_close`. One worker.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "proxy/base/intrusive_list.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/http/downstream_connection.h"
#include "proxy/http1/server_context.h"
#include "proxy/http2/closed_streams.h"
#include "proxy/http2/flood_guard.h"
#include "proxy/http2/server_stream.h"
#include "proxy/http2/session.h"
#include "proxy/net/socket.h"

namespace outrigger::http2 {

// What the HTTP/2 connections of a listener share. All of it outlives them.
struct ServerContext {
  const http1::ServerContext& listener;
  // A connection was ended because its client floods it, and with what: a static word.
  std::function<void(std::string_view peer, std::string_view what)> on_flood;
  uint32_t max_concurrent_streams = 128;
};

class ServerConnection final : public http::DownstreamConnection,
                               private net::SocketHandler,
                               private Session::Delegate,
                               private Deferred {
 public:
  // Takes the descriptor. `on_closed` is called once, when the connection has ended.
  // With `session` the connection is encrypted; its handshake may still have to be made.
  ServerConnection(const ServerContext& context, int fd, std::string peer_host,
                   std::function<void()> on_closed,
                   std::unique_ptr<net::SecureSession> session = nullptr);
  ~ServerConnection() override;
  void Start(std::string_view received);

  // http::DownstreamConnection
  void AnnounceDrain() override { Drain(); }
  void Drain() override;
  void Shutdown() override;
  void CloseNow() override;

  // For the streams.
  const http1::ServerContext& context() const { return context_.listener; }
  Session& session() { return session_; }
  std::string_view peer_host() const { return peer_host_; }
  // Null: the connection is plain.
  const net::SecureSession* secure_session() const { return socket_.secure_session(); }
  bool is_blocked() const { return session_.is_blocked(); }
  void FlushLater() { context().loop->Defer(*this); }
  void FlushNow();
  // Frames what streams have to say; it is sent at the end of the turn.
  void StageNow();
  void Reset(int32_t stream_id, uint32_t error_code);
  void AddNews(ServerStream& stream);
  void AddSending(ServerStream& stream);

 private:
  using Streams = IntrusiveList<ServerStream::Node>;

  enum class State : uint8_t { kOpen, kLingering, kClosed };
  // What the read deadline is armed for.
  enum class Waits : uint8_t { kNothing, kHead, kIdle, kLinger };

  // net::SocketHandler
  void OnReadable() override;
  void OnWritable() override;
  void OnPeerClosed() override;

  // Session::Delegate
  void OnBeginFrame(int32_t stream_id) override;
  void OnBeginHeaders(const nghttp2_frame& frame) override;
  bool OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value) override;
  void OnFrame(const nghttp2_frame& frame) override;
  void OnData(int32_t stream_id, std::string_view data) override;
  void OnFrameSent(const nghttp2_frame& frame) override;
  void OnStreamClosed(int32_t stream_id, uint32_t error_code) override;

  // End of the turn.
  void RunDeferred() override;

  // The stream of a frame is asked for with each of its fields.
  ServerStream* Find(int32_t stream_id);
  void Receive(std::string_view bytes);
  void HandleNews();
  void CancelUnfinished();
  void NoteFrame(std::string_view what);
  void NoteReset(std::string_view what);
  void SetWaits(Waits waits);
  void UpdateWaits();
  void OnReadDeadline();
  void FinishDrain();
  // In good order: what was sent can be read.
  void End();
  void Close(bool with_reset);

  const ServerContext& context_;
  std::function<void()> on_closed_;
  const std::string peer_host_;
  net::Socket socket_;
  Session session_;
  FloodGuard guard_;
  ClosedStreams closed_;
  Streams streams_;  // owned
  Streams news_;
  Streams sending_;
  DeadlineEntry read_deadline_;
  DeadlineEntry write_deadline_;
  DeadlineEntry drain_deadline_;
  std::string_view flood_;                 // with what the client floods; empty: it does not
  uint32_t violation_ = NGHTTP2_NO_ERROR;  // of the protocol, that nghttp2 does not see
  size_t connection_credit_ = 0;           // of the window, to be given back
  int32_t head_stream_ = kConnection;      // in the middle of its block of fields
  ServerStream* found_ = nullptr;          // by Find() the last time
  State state_ = State::kOpen;
  Waits waits_ = Waits::kNothing;
  bool has_settings_ = false;  // the client's preface is complete
  bool is_broken_ = false;
  bool is_failed_ = false;  // the session cannot go on
  bool is_draining_ = false;
  bool refuses_streams_ = false;  // the last GOAWAY was submitted
  bool has_peer_closed_ = false;
};

}  // namespace outrigger::http2
