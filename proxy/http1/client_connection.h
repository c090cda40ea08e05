// An HTTP/1.1 connection to the service behind us: one exchange at a time.
//
//   connection.SendHead(head); ...                    // client_stream.h
//   if (connection.is_reusable()) pool.Return(...)
//
// While idle in a pool it stays registered for reading, so that a close by the service is noticed
// for free. Whoever lets go of a connection in the middle of an exchange closes it. One that the
// service has switched to another protocol carries a tunnel from then on. One worker; destroyed
// through Loop::DeferDelete by CloseAndDelete().

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/base/expected.h"
#include "proxy/coro/task.h"
#include "proxy/event/signal.h"
#include "proxy/http/client_stream.h"
#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"
#include "proxy/net/output.h"
#include "proxy/net/read_buffer.h"
#include "proxy/net/socket.h"
#include "proxy/tunnel/upgrade.h"

namespace outrigger::http1 {

class ClientConnection final : public http::ClientStream,
                               public net::SocketHandler,
                               public Deletable,
                               private Deferred {
 public:
  // The pool, while the connection is idle.
  class IdleOwner {
   public:
    virtual ~IdleOwner() = default;
    // The service closed the connection or sent bytes that nobody asked for. The owner removes it
    // and calls CloseAndDelete().
    virtual void OnIdleClosed(ClientConnection& connection) = 0;
  };

  // Takes a descriptor on which connect() was started.
  ClientConnection(EventLoop& loop, net::BufferPool& pool, int fd);
  ~ClientConnection() override;

  // Waits for the outcome of connect(), or of the handshake: 0, or errno.
  Task<int> WaitConnected();
  // Encrypts the connection; WaitConnected() tells the outcome. REQUIRES: connected, not used yet.
  void StartTls(std::unique_ptr<net::SecureSession> session);

  // http::ClientStream
  bool allows_tunnels() const override { return true; }
  bool SendHead(const http::RequestHeadToSend& head) override;
  bool SendData(std::string_view data) override;
  bool Finish(const http::HeaderList* trailers) override;
  size_t pending_bytes() const override { return output_.pending_bytes(); }
  Signal& drained() override { return drained_; }
  Task<Expected<http::ReceivedHead, http::Failure>> ReadHead(
      http::HeaderList& headers, http::InformationalSink* sink) override;
  Signal& continued() override { return continued_; }
  bool has_final_head() const override { return has_head_; }
  Task<http::ChunkResult> ReadBody() override;
  std::optional<http::ChunkResult> TryReadBody() override;
  const http::HeaderList* trailers() const override;
  void Abort() override;

  // After the body's end: whether another exchange may follow.
  bool is_reusable() const;
  // The response was read to its end, or nothing was asked yet. A tunnel: the service was told that
  // this side has ended.
  bool is_exchange_over() const {
    if (is_tunnel_) return is_fin_sent_;
    return exchanges_ == 0 || (has_head_ && is_body_done_);
  }
  uint64_t exchanges() const { return exchanges_; }

  // Idle in a pool from now on, or (null) taken out of it.
  void SetIdleOwner(IdleOwner* owner);
  bool is_open() const { return socket_.is_open(); }
  void CloseAndDelete(bool with_reset = false);

  // For the pool.
  MonoTime idle_since;

 private:
  // End of the turn: flushes what is staged.
  void RunDeferred() override;

  void OnReadable() override;
  void OnWritable() override;
  void OnPeerClosed() override;
  void OnSecured() override { OnWritable(); }

  void StartExchange(const http::RequestHeadToSend& head);
  // 101: empty, or why it cannot be.
  std::string_view TrySwitch(http::HeaderList& headers);
  // Of a tunnel whose bytes were all sent.
  void SendFin();
  // `data` and `tail` behind what is staged.
  bool Send(std::string_view data, std::string_view tail = {});
  void SendFailed();
  void Receive();
  // Appends what the kernel has; false when the buffer is full and must not move.
  bool HasRoom();
  http::Failure BrokenBeforeHead() const;
  http::Failure BodyFailure(http::Reason reason) const;
  // The body's next bytes out of the buffer; empty when more must be received.
  std::string_view Take();
  void TakeChunkedEnd(std::string_view input);

  EventLoop& loop_;
  net::BufferPool& pool_;
  net::Socket socket_;
  net::ReadBuffer buffer_;
  net::Output output_;
  Signal readable_;
  Signal drained_;
  Signal continued_;
  IdleOwner* idle_owner_ = nullptr;

  BodyKind request_kind_ = BodyKind::kNone;
  uint64_t request_left_ = 0;  // of a request of known length
  HeadProgress progress_;
  ResponseFraming framing_;
  ChunkedDecoder decoder_;
  uint64_t left_ = 0;
  size_t interim_bytes_ = 0;  // of this exchange
  size_t to_skip_ = 0;        // bytes at the front of the buffer that were handed out
  uint64_t exchanges_ = 0;
  http::Method method_ = http::Method::kOther;
  std::string_view upgrade_;   // asked for in this exchange
  tunnel::FixedText<24> key_;  // of a WebSocket that was asked for
  bool is_connecting_ = true;
  bool has_bytes_ = false;  // of this exchange's response
  bool has_head_ = false;
  bool is_body_done_ = false;
  bool is_request_complete_ = false;
  bool is_tunnel_ = false;
  bool owes_fin_ = false;
  bool is_fin_sent_ = false;
  bool is_ended_ = false;   // the service sent FIN
  bool is_broken_ = false;  // reset, or a send failed
  bool has_protocol_error_ = false;
};

}  // namespace outrigger::http1
