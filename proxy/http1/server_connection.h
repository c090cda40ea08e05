// An HTTP/1.1 connection from a client: parses requests, gives each to a handler, writes answers.
//
//   auto* connection = new ServerConnection(context, fd, peer, on_closed);   // owns itself
//
// One request at a time: pipelined ones wait in the buffer and, when that is full, in the kernel.
// The connection ends when the client closes, an answer said so, a deadline passes, the head is
// malformed (RFC 9112) or Drain() finds it idle; it then unlinks itself and hands itself to
// Loop::DeferDelete. Between requests it holds no buffer and no handler.
//
// A client that closes its side while its answer is pending is taken to be gone (semantics TO-7)
// unless `allow_half_close`. A connection whose client asked for another protocol (proxy/tunnel)
// serves no further request, whether it became a tunnel or not: what the client has sent behind its
// request would be of either protocol (RFC 9110, 7.8). One that begins with the preface of HTTP/2
// is handed to the acceptor in the context, if there is one. One worker.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/event/deadline_queue.h"
#include "proxy/event/signal.h"
#include "proxy/http/downstream_connection.h"
#include "proxy/http/server_stream.h"
#include "proxy/http1/answer_writer.h"
#include "proxy/http1/incoming_request.h"
#include "proxy/http1/request_reader.h"
#include "proxy/http1/server_context.h"
#include "proxy/http1/tunnel_reader.h"
#include "proxy/net/output.h"
#include "proxy/net/read_buffer.h"
#include "proxy/net/socket.h"
#include "proxy/tunnel/upgrade.h"

namespace outrigger::http1 {

class ServerConnection final : public net::SocketHandler,
                               public http::ServerStream,
                               public http::DownstreamConnection,
                               private RequestReader::Owner,
                               private Deferred {
 public:
  // Takes the descriptor. `on_closed` is called once, when the connection has ended. With `session`
  // the connection is encrypted.
  ServerConnection(const ServerContext& context, int fd, const net::SocketAddress& peer,
                   std::function<void()> on_closed,
                   std::unique_ptr<net::SecureSession> session = nullptr);
  ~ServerConnection() override;

  // http::DownstreamConnection
  void Drain() override;
  void Shutdown() override;
  void CloseNow() override;

 private:
  enum class State : uint8_t {
    kHead,       // waiting for a request, or in the middle of its head
    kExchange,   // a handler is at work
    kTunnel,     // the same, and HTTP is over
    kLingering,  // the last answer was sent; what the client still sends is discarded
    kClosed,
  };

  // net::SocketHandler
  void OnReadable() override;
  void OnWritable() override;
  void OnPeerClosed() override;
  void OnSecured() override;

  // http::ServerStream
  void SendHead(const http::ResponseHeadToSend& head) override;
  std::unique_ptr<http::Body> StartTunnel(const http::ResponseHeadToSend& head) override;
  void SendData(std::string_view data, bool is_last) override;
  void Finish(const http::HeaderList* trailers) override;
  void Abort() override;
  size_t pending_bytes() const override { return output_.pending_bytes(); }
  Signal& drained() override { return drained_; }
  bool is_head_sent() const override { return is_head_sent_; }
  void OnInformational(int status, const http::HeaderList& headers) override;

  // RequestReader::Owner
  void SendContinue() override;
  void OnBodyWait(bool is_waiting) override;

  // End of the turn: flushes what is staged and goes on to the next request.
  void RunDeferred() override;

  void OnEndOfStream();
  void ParseHead();
  // Whether what was received may be the preface of HTTP/2; if it is, the connection is handed
  // over.
  bool TakePreface();
  void HandOver();
  void BeginExchange(const TakenHead& head);
  void EndExchange();
  // server_connection_tunnel.cc
  void OnTunnelReadable();
  void OnTunnelPeerClosed();
  // Of a tunnel whose bytes were all sent.
  void SendFin();
  void EndTunnel();
  void Linger();
  void Refuse(http::Reason reason, std::string_view detail);
  void AfterSend(bool is_connected);
  void OnReadDeadline();
  void OnWriteDeadline() { ClientGone(); }
  void ClientGone();
  void Close(bool with_reset);

  const ServerContext& context_;
  std::function<void()> on_closed_;  // null: handed over
  net::Socket socket_;
  net::ReadBuffer buffer_;  // the head and what came with it
  net::Output output_;
  AnswerWriter answer_;
  HeadProgress progress_;
  DeadlineEntry read_deadline_;
  DeadlineEntry write_deadline_;
  // Of the current exchange; apart from the connection so that an idle one stays small.
  std::unique_ptr<http::StreamHandler> handler_;
  std::unique_ptr<RequestReader> reader_;  // null in a tunnel
  std::unique_ptr<TunnelReader> tunnel_;
  Signal drained_;

  std::string peer_host_;
  std::string_view accept_;  // for the WebSocket that is asked for; in the request's arena
  State state_ = State::kHead;
  bool is_head_deadline_ = false;  // the header timeout of this head is armed
  bool is_head_sent_ = false;
  bool is_finished_ = false;
  bool is_aborted_ = false;
  bool is_broken_ = false;     // a send failed
  bool closes_after_ = false;  // this exchange is the last
  bool has_peer_closed_ = false;
  bool is_draining_ = false;
  bool owes_fin_ = false;      // the service has ended its side of the tunnel
  bool is_first_head_ = true;  // of the connection: it may still speak HTTP/2
};

}  // namespace outrigger::http1
