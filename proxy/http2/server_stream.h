// One request and its answer on an HTTP/2 connection from a client: the stream as nghttp2 sees it
// on one side, as the stream driver sees it on the other.
//
// What nghttp2 tells is recorded and the stream put on the connection's list of news; the
// connection calls HandleNews() from the loop afterwards. The connection owns its streams and
// destroys one when HandleNews() says that it has ended: nghttp2 has closed it and the handler is
// gone. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/intrusive_list.h"
#include "proxy/base/pooled.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/event/signal.h"
#include "proxy/http/server_stream.h"
#include "proxy/http2/incoming_body.h"
#include "proxy/http2/outgoing_body.h"
#include "proxy/http2/request_head.h"

namespace outrigger::http2 {

class ServerConnection;

class ServerStream final : public http::ServerStream, public Pooled, private IncomingBody::Owner {
 public:
  ServerStream(ServerConnection& connection, int32_t id);
  ~ServerStream() override;

  // While nghttp2 runs: these only record.
  bool AddField(std::string_view name, std::string_view value);
  void AddTrailer(std::string_view name, std::string_view value);
  // The message breaks the protocol: the stream will be reset.
  void OnMalformed() { is_malformed_ = true; }
  void OnHeadComplete(bool is_ended);
  void OnData(std::string_view data);
  // END_STREAM was received.
  void OnEnd();
  // END_STREAM was sent.
  void OnEndSent() { is_end_sent_ = true; }
  void OnClosed() { is_closed_ = true; }
  // The client has ended its side.
  bool is_ended() const { return incoming_.is_ended(); }

  int32_t id() const { return id_; }

  // From the loop. True: the stream has ended and is to be destroyed.
  bool HandleNews();
  // After the connection has sent what it could: how far this stream came.
  void CheckSending();
  // The connection is going away.
  void Cut();
  // The proxy ends.
  void Shutdown();

  // http::ServerStream
  void SendHead(const http::ResponseHeadToSend& head) override;
  std::unique_ptr<http::Body> StartTunnel(const http::ResponseHeadToSend& head) override;
  void SendData(std::string_view data, bool is_last) override;
  void Finish(const http::HeaderList* trailers) override;
  void Abort() override;
  size_t pending_bytes() const override;
  Signal& drained() override { return drained_; }
  bool is_head_sent() const override { return is_head_sent_; }
  void OnInformational(int status, const http::HeaderList& headers) override;

  // Memberships in the connection's lists; the stream itself tells which it is.
  struct Node : ListNode {
    explicit Node(ServerStream& of) : stream(of) {}
    ServerStream& stream;
  };
  Node all{*this};
  Node news{*this};     // there is something for HandleNews()
  Node sending{*this};  // bytes wait in outgoing_

 private:
  // IncomingBody::Owner
  void OnBodyConsumed(size_t bytes) override;
  void OnBodyWait(bool is_waiting) override;

  void Begin();
  // The request asks for a tunnel. False: it may not have it, and was told.
  bool TakeUpgrade(http::Request& request);
  void BeginHandler(http::Request& request);
  void Refuse(http::Reason reason, std::string_view detail);
  void OnReadDeadline();
  void OnWriteDeadline();
  // The client gave the request up, or its connection broke.
  void ClientGone();

  ServerConnection& connection_;
  const int32_t id_;
  std::unique_ptr<http::StreamHandler> handler_;
  RequestHeadReader head_;
  IncomingBody incoming_;
  OutgoingBody outgoing_;
  Signal drained_;
  DeadlineEntry read_deadline_;          // of the request's body
  DeadlineEntry write_deadline_;         // of a client that gives no window
  std::optional<uint64_t> answer_left_;  // of a body of known length
  size_t sending_bytes_ = 0;             // waited at the last CheckSending()
  size_t credit_ = 0;                    // of the window, to be given back
  bool is_head_new_ = false;             // complete, and not looked at yet
  bool is_begun_ = false;                // the handler was started
  bool is_head_request_ = false;
  bool is_malformed_ = false;
  bool is_tunnel_ = false;
  bool is_head_sent_ = false;
  bool has_answer_body_ = false;
  bool owes_continue_ = false;
  bool is_finished_ = false;  // by the handler
  bool is_aborted_ = false;
  bool is_end_sent_ = false;
  bool is_closed_ = false;  // by nghttp2
};

}  // namespace outrigger::http2
