// One request and its answer on a shared HTTP/2 connection to the service: the stream as nghttp2
// sees it on one side, as the router sees it (client_stream.h of proxy/http) on the other.
//
//   ClientStreamPtr stream = connection.NewStream();       // REQUIRES: connection.room() > 0
//   stream->SendHead(head); ...
//   stream.reset();                                        // what is not over is cancelled
//
// What nghttp2 tells is recorded and the stream put on the connection's list of news; the
// connection calls HandleNews() from the loop afterwards. The stream outlives its holder until
// nghttp2 has closed it, and its connection until its holder lets go. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "proxy/base/arena.h"
#include "proxy/base/intrusive_list.h"
#include "proxy/base/pooled.h"
#include "proxy/event/event_loop.h"
#include "proxy/event/signal.h"
#include "proxy/http/client_stream.h"
#include "proxy/http2/incoming_body.h"
#include "proxy/http2/outgoing_body.h"
#include "proxy/http2/response_head.h"

namespace outrigger::http2 {

class ClientConnection;

class ClientStream final : public http::ClientStream,
                           public Deletable,
                           public Pooled,
                           private IncomingBody::Owner {
 public:
  // `is_reused`: the connection has served requests before.
  ClientStream(ClientConnection& connection, bool is_reused);
  ~ClientStream() override;

  // http::ClientStream
  bool allows_tunnels() const override;
  bool SendHead(const http::RequestHeadToSend& head) override;
  bool SendData(std::string_view data) override;
  bool Finish(const http::HeaderList* trailers) override;
  size_t pending_bytes() const override;
  Signal& drained() override { return drained_; }
  Task<Expected<http::ReceivedHead, http::Failure>> ReadHead(
      http::HeaderList& headers, http::InformationalSink* sink) override;
  Signal& continued() override { return continued_; }
  bool has_final_head() const override { return has_final_head_; }
  Task<http::ChunkResult> ReadBody() override { return body_->Read(); }
  std::optional<http::ChunkResult> TryReadBody() override { return body_->TryRead(); }
  const http::HeaderList* trailers() const override { return body_->trailers(); }
  void Abort() override;

  bool is_reused() const { return is_reused_; }
  // By its holder: it is not used any more.
  void Release();

  // While nghttp2 runs: these only record.
  void BeginFields() { reader_.Begin(); }
  // False: the block is not worth decoding further.
  bool AddField(std::string_view name, std::string_view value);
  void OnFieldsComplete(bool is_last);
  void OnData(std::string_view data);
  void OnEnd();
  void OnHeadSent();
  void OnEndSent() { is_end_sent_ = true; }
  // The service sent RST_STREAM.
  void OnReset() { was_reset_ = true; }
  void OnClosed(uint32_t error_code);

  // From the loop.
  void HandleNews();
  // After the connection has sent what it could: how far this stream came.
  void CheckSending();
  // The connection is gone, for that reason. The stream is no longer in its lists.
  void OnConnectionLost(http::Reason reason);
  // Those who wait look again; from the loop.
  void Wake();

  // Memberships in the connection's lists; the stream itself tells which it is.
  struct Node : ListNode {
    explicit Node(ClientStream& of) : stream(of) {}
    ClientStream& stream;
  };
  Node all{*this};
  Node news{*this};     // there is something for HandleNews()
  Node sending{*this};  // bytes wait in outgoing_

 private:
  // IncomingBody::Owner
  void OnBodyConsumed(size_t bytes) override;
  void OnBodyWait(bool) override {}

  http::Failure NewFailure(http::Reason reason) const;
  http::Failure FailureOf(uint32_t error_code) const;
  // Keeps the first.
  void Fail(const http::Failure& failure);
  http::ReceivedHead Received() const;

  EventLoop& loop_;
  ClientConnection* connection_;  // null: gone, or done with this stream
  const bool is_reused_;
  int32_t id_ = 0;  // 0: not submitted
  Arena arena_;     // of the answer's heads
  ResponseHeadReader reader_;
  ResponseHead head_;  // that is being received, at last the final one
  std::vector<ResponseHead> interim_;
  IncomingBody incoming_;
  std::unique_ptr<http::Body> body_;  // reads incoming_
  OutgoingBody outgoing_;
  Signal head_ready_;
  Signal drained_;
  Signal continued_;
  std::optional<http::Failure> failure_;
  uint64_t bytes_at_head_ = 0;  // received on the connection when the request's head left
  size_t credit_ = 0;           // of the window, to be given back
  http::Method method_ = http::Method::kOther;
  bool has_request_body_ = false;
  bool asks_for_tunnel_ = false;
  bool is_head_news_ = false;
  bool is_continued_ = false;  // and `continued_` was not notified yet
  bool has_final_head_ = false;
  bool is_malformed_ = false;
  bool is_head_sent_ = false;
  bool is_end_sent_ = false;
  bool was_reset_ = false;    // by the service
  bool is_aborted_ = false;   // by us
  bool is_closed_ = false;    // by nghttp2, or with the connection
  bool is_released_ = false;  // by the holder
};

struct ReleaseClientStream {
  void operator()(ClientStream* stream) const { stream->Release(); }
};
using ClientStreamPtr = std::unique_ptr<ClientStream, ReleaseClientStream>;

}  // namespace outrigger::http2
