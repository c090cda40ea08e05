// An HTTP/1.1 connection from a client: parses requests, gives each to a handler, writes answers.
//
//   auto connection = std::make_unique<ServerConnection>(context, fd, peer);
//
// One request at a time: pipelined ones wait in the buffer and, when that is full, in the kernel.
// The connection ends when the client closes, an answer said so, a deadline passes, the head is
// malformed (RFC 9112) or Drain() finds it idle; it then unlinks itself and hands itself to
// Loop::DeferDelete. Between requests it holds no buffer and no handler.
//
// A client that closes its side while its answer is pending is taken to be gone (semantics TO-7)
// unless `allow_half_close`. One worker.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/event/deadline_queue.h"
#include "proxy/event/signal.h"
#include "proxy/http/server_stream.h"
#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"
#include "proxy/net/output.h"
#include "proxy/net/read_buffer.h"
#include "proxy/net/socket.h"

namespace outrigger::http1 {

// What the connections of a listener share. All of it outlives them.
struct ServerContext {
  EventLoop* loop = nullptr;
  net::BufferPool* pool = nullptr;
  http::StreamHandlerFactory* handlers = nullptr;
  HeadLimits head_limits;
  std::optional<uint64_t> max_body_bytes;
  bool allow_half_close = false;
  DeadlineQueue* header_timeouts = nullptr;      // first byte of a head to its end
  DeadlineQueue* body_idle_timeouts = nullptr;   // between bytes of a request body
  DeadlineQueue* write_idle_timeouts = nullptr;  // a client that does not take its answer
  DeadlineQueue* idle_timeouts = nullptr;        // between requests
  DeadlineQueue* linger_timeouts = nullptr;      // after an answer that closes
};

class ServerConnection final : public net::SocketHandler,
                               public http::ServerStream,
                               public Deletable,
                               private Deferred {
 public:
  // Takes the descriptor.
  ServerConnection(const ServerContext& context, int fd, const net::SocketAddress& peer);
  ~ServerConnection() override;

  // Closes now when idle, else after the answer that is being sent.
  void Drain();
  // Cuts everything, for the end of the grace period.
  void CloseNow();
  bool is_idle() const { return handler_ == nullptr && buffer_.empty(); }

  // Membership in the listener's list of connections; the list does not own.
  struct Membership : ListNode {
    explicit Membership(ServerConnection& owner) : connection(owner) {}
    ServerConnection& connection;
  } membership{*this};

 private:
  friend class RequestBody;

  enum class State : uint8_t {
    kHead,       // waiting for a request, or in the middle of its head
    kExchange,   // a handler is at work
    kLingering,  // the last answer was sent; what the client still sends is discarded
    kClosed,
  };

  // net::SocketHandler
  void OnReadable() override;
  void OnWritable() override;
  void OnPeerClosed() override;

  // http::ServerStream
  void SendHead(const http::ResponseHeadToSend& head) override;
  void SendData(std::string_view data, bool is_last) override;
  void Finish(const http::HeaderList* trailers) override;
  void Abort() override;
  size_t pending_bytes() const override { return output_.pending_bytes(); }
  Signal& drained() override;
  bool is_head_sent() const override { return is_head_sent_; }
  void OnInformational(int status, const http::HeaderList& headers) override;

  // End of the turn: flushes what is staged and goes on to the next request.
  void RunDeferred() override;

  bool Receive();
  void ParseHead();
  void BeginExchange(const RequestHead& head, const RequestFraming& framing, size_t head_bytes);
  void EndExchange();
  void Refuse(http::Reason reason, std::string_view detail);
  void AfterSend(bool is_connected);
  void ArmReadDeadline();
  void OnReadDeadline();
  void ClientGone();
  void Linger();
  void Close(bool with_reset);

  // The body of the current request, read by RequestBody.
  struct BodyProgress {
    BodyFraming framing;
    uint64_t left = 0;  // of kLength
    uint64_t received = 0;
    bool is_done = true;
    bool was_continue_sent = true;
    http::Reason failure = http::Reason::kNone;
    std::string_view failure_detail;
  };
  // The next piece of the body out of the buffer; consumed at the following call.
  std::string_view TakeBodyData();
  void ReleaseBodyData();
  void SendContinue();

  const ServerContext& context_;
  net::Socket socket_;
  net::ReadBuffer buffer_;  // the head, and what came with it
  net::Output output_;
  HeadProgress progress_;
  DeadlineEntry read_deadline_;
  DeadlineEntry write_deadline_;
  std::unique_ptr<http::StreamHandler> handler_;

  // Of the current exchange; allocated with it so that an idle connection stays small.
  struct Exchange;
  std::unique_ptr<Exchange> exchange_;

  std::string peer_host_;
  State state_ = State::kHead;
  bool is_head_sent_ = false;
  bool is_finished_ = false;
  bool is_closing_ = false;  // after this exchange
  bool has_peer_closed_ = false;
  bool is_chunked_answer_ = false;
  bool is_body_forbidden_ = false;  // HEAD, 204, 304
  bool is_draining_ = false;
  uint8_t client_minor_version_ = 1;
};

}  // namespace outrigger::http1
