// An HTTP/1.1 connection to the service behind us: one exchange at a time.
//
//   connection.StartExchange(request.method);
//   WriteRequestHead(...) into connection.output(); connection.Send(body);
//   auto head = co_await connection.ReadHead(headers, sink);
//   while (...) { auto chunk = co_await connection.ReadBody(); ... }
//   if (connection.is_reusable()) pool.Return(...)
//
// While idle in a pool it stays registered for reading, so that a close by the service is noticed
// for free. Whoever lets go of a connection in the middle of an exchange closes it. One worker;
// destroyed through Loop::DeferDelete by CloseAndDelete().

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/base/expected.h"
#include "proxy/coro/task.h"
#include "proxy/event/signal.h"
#include "proxy/http/body.h"
#include "proxy/http/request.h"
#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"
#include "proxy/net/output.h"
#include "proxy/net/read_buffer.h"
#include "proxy/net/socket.h"

namespace outrigger::http1 {

class ClientConnection final : public net::SocketHandler, public Deletable, private Deferred {
 public:
  // The pool, while the connection is idle.
  class IdleOwner {
   public:
    virtual ~IdleOwner() = default;
    // The service closed the connection or sent bytes that nobody asked for. The owner removes it
    // and calls CloseAndDelete().
    virtual void OnIdleClosed(ClientConnection& connection) = 0;
  };

  struct Head {
    int status = 0;
    ResponseFraming framing;
  };

  // Takes a descriptor on which connect() was started.
  ClientConnection(EventLoop& loop, net::BufferPool& pool, int fd);
  ~ClientConnection() override;

  // Waits for the outcome of connect(), or of the handshake: 0, or errno.
  Task<int> WaitConnected();
  // Encrypts the connection; WaitConnected() tells the outcome. REQUIRES: connected, not used yet.
  void StartTls(std::unique_ptr<net::SecureSession> session);

  void StartExchange(http::Method method);
  net::Output& output() { return output_; }
  // Sends what is staged and `data`, at the latest when the turn ends. False: broken; ReadHead()
  // will say how.
  bool Send(std::string_view data, std::string_view tail = {});
  Signal& drained() { return drained_; }
  // The request went out to its last byte.
  void SetRequestComplete() { is_request_complete_ = true; }

  // The final head. Views in `headers` are valid until the first ReadBody(). Interim responses go
  // to `sink`; 100 wakes `continued()`.
  Task<Expected<Head, http::Failure>> ReadHead(http::HeaderList& headers,
                                               http::InformationalSink* sink);
  Task<http::ChunkResult> ReadBody();
  // The same when it need not wait.
  std::optional<http::ChunkResult> TryReadBody();
  const http::HeaderList* trailers() const;
  // Notified by `100 Continue` and by the final head.
  Signal& continued() { return continued_; }
  bool has_final_head() const { return has_head_; }

  // Gives up the exchange: the waiting ReadHead() or ReadBody() fails.
  void AbortExchange();

  // After the body's end: whether another exchange may follow.
  bool is_reusable() const;
  // The response was read to its end, or nothing was asked yet.
  bool is_exchange_over() const { return exchanges_ == 0 || (has_head_ && is_body_done_); }
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

  HeadProgress progress_;
  ResponseFraming framing_;
  ChunkedDecoder decoder_;
  uint64_t left_ = 0;
  size_t to_skip_ = 0;  // bytes at the front of the buffer that were handed out
  uint64_t exchanges_ = 0;
  http::Method method_ = http::Method::kOther;
  bool is_connecting_ = true;
  bool has_bytes_ = false;  // of this exchange's response
  bool has_head_ = false;
  bool is_body_done_ = false;
  bool is_request_complete_ = false;
  bool is_ended_ = false;   // the service sent FIN
  bool is_broken_ = false;  // reset, or a send failed
  bool has_protocol_error_ = false;
};

}  // namespace outrigger::http1
