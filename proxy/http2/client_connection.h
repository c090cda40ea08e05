// An HTTP/2 connection to the service behind us, by prior knowledge or over TLS: many requests at a
// time.
//
//   auto* connection = new ClientConnection(loop, pool, fd, limits, {}, owner);     // owns itself
//   owner.OnOpen(*connection);                      // the service's settings have come
//   if (connection->room() > 0) ClientStreamPtr stream = connection->NewStream();
//
// Takes a descriptor on which connect() was started; with TLS its handshake follows. Streams are
// given out once the service's settings are known, so that its limit of streams is kept and one
// that does not speak HTTP/2 is found out before anything was asked of it. All that streams send in
// a turn of the loop leaves in one send at its end. The connection window is given back for what
// arrives, a stream's window for what its reader has done with, so that streams that nobody reads
// never hold up the others (semantics PR-2).
//
// After a GOAWAY no stream is given out; the connection ends with its last one. One that falls
// silent while a request was given up is asked for a sign of life, so that it does not swallow more
// of them. The connection tells its owner when it has ended and hands itself to Loop::DeferDelete.
// One worker.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "proxy/base/intrusive_list.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/http2/client_stream.h"
#include "proxy/http2/session.h"
#include "proxy/net/socket.h"

namespace outrigger::http2 {

class ClientConnection final : public Deletable,
                               private net::SocketHandler,
                               private Session::Delegate,
                               private Deferred {
 public:
  // Streams that are open at a time, whatever the service allows: with the window of each it bounds
  // what a connection can make us hold.
  static constexpr uint32_t kMaxStreams = 100;

  enum class End : uint8_t {
    kConnectFailed,  // it never was open
    kByService,      // closed, or broke the protocol
    kWhileIdle,      // the same, and it was idle
    kByUs,           // idle for too long, or silent
  };

  // All from the loop.
  class Owner {
   public:
    virtual ~Owner() = default;
    // For the first time; OnChange() follows.
    virtual void OnOpen(ClientConnection& connection) = 0;
    // Its room() may be another.
    virtual void OnChange(ClientConnection& connection) = 0;
    // It has ended, and must not be used any more.
    virtual void OnEnd(ClientConnection& connection, End end) = 0;
  };

  // These outlive the connection.
  struct Timeouts {
    DeadlineQueue& connect;
    DeadlineQueue& handshake;
    DeadlineQueue& settings;  // until they come, and for signs of life
    DeadlineQueue& idle;
  };

  // Makes the TLS of a connection; empty: plain. To be established with h2 chosen, or not at all.
  using NewSession = std::function<std::unique_ptr<net::SecureSession>(int fd)>;

  // `new_session` outlives the connection.
  ClientConnection(EventLoop& loop, net::BufferPool& pool, int fd, const Timeouts& timeouts,
                   const NewSession& new_session, Owner& owner);
  ~ClientConnection() override;

  // How many streams may be opened now.
  size_t room() const;
  // REQUIRES: room() > 0.
  ClientStreamPtr NewStream();
  // How many streams the service allows, as far as this side would use them.
  uint32_t max_streams() const;
  size_t open_streams() const { return open_streams_; }
  bool is_connecting() const { return state_ <= State::kGreeting; }
  bool is_open() const { return state_ == State::kOpen; }
  bool is_idle() const { return state_ == State::kOpen && open_streams_ == 0; }
  MonoTime idle_since() const { return idle_since_; }
  // Says goodbye and closes, without telling the owner. Its streams fail.
  void CloseNow();

  // For the streams.
  bool is_secure() const { return socket_.secure_session() != nullptr; }
  EventLoop& loop() const { return loop_; }
  net::BufferPool& pool() const { return pool_; }
  Session& session() { return session_; }
  bool is_blocked() const { return session_.is_blocked(); }
  uint64_t received_bytes() const { return received_bytes_; }
  void FlushLater() { loop_.Defer(*this); }
  void FlushNow();
  void Reset(int32_t stream_id, uint32_t error_code);
  void AddNews(ClientStream& stream);
  void AddSending(ClientStream& stream);
  // Takes the stream out of the lists: it is over.
  void Remove(ClientStream& stream);
  // A request was given up, and the service has been silent since it was sent.
  void Probe();

  // For the owner: the order of its connections.
  uint64_t serial = 0;

 private:
  using Streams = IntrusiveList<ClientStream::Node>;

  enum class State : uint8_t {
    kConnecting,
    kHandshake,
    kGreeting,  // connected; the service's settings have not come yet
    kOpen,
    kLeaving,  // no new streams
    kClosed,
  };

  // net::SocketHandler
  void OnReadable() override;
  void OnWritable() override;
  void OnPeerClosed() override;
  void OnSecured() override;

  // Session::Delegate
  void OnBeginFrame(int32_t) override {}
  void OnBeginHeaders(const nghttp2_frame& frame) override;
  bool OnHeader(const nghttp2_frame& frame, std::string_view name, std::string_view value) override;
  void OnFrame(const nghttp2_frame& frame) override;
  void OnData(int32_t stream_id, std::string_view data) override;
  void OnFrameSent(const nghttp2_frame& frame) override;
  void OnStreamClosed(int32_t stream_id, uint32_t error_code) override;

  // End of the turn.
  void RunDeferred() override;

  // The stream of a frame is asked for with each of its fields.
  ClientStream* Find(int32_t stream_id);
  void OnConnected();
  void Greet();
  void Receive(std::string_view bytes);
  void HandleNews();
  // Takes what the service has sent before its end, or before sending to it failed.
  void ReadRest();
  void UpdateState();
  void OnDeadline();
  void Finish(End end);
  void Close(Streams& lost);
  static void Wake(Streams& lost);

  EventLoop& loop_;
  net::BufferPool& pool_;
  const Timeouts timeouts_;
  const NewSession& new_session_;
  Owner& owner_;
  net::Socket socket_;
  Session session_;
  Streams streams_;
  Streams news_;
  Streams sending_;
  DeadlineEntry deadline_;  // of the state
  DeadlineEntry probe_deadline_;
  MonoTime idle_since_;
  uint64_t received_bytes_ = 0;
  uint64_t opened_streams_ = 0;
  size_t open_streams_ = 0;
  size_t connection_credit_ = 0;  // of the window, to be given back
  int32_t found_id_ = kConnection;  // by Find() the last time
  ClientStream* found_ = nullptr;   // null: look it up
  State state_ = State::kConnecting;
  int probes_ = 0;  // since HEADERS or DATA came
  bool has_settings_ = false;
  bool has_changed_ = false;    // and the owner was not told yet
  bool is_broken_ = false;      // sending failed
  bool is_failed_ = false;      // the session cannot go on
  bool has_violation_ = false;  // that nghttp2 found
};

}  // namespace outrigger::http2
