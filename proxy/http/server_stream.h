// One request and its answer on a downstream connection, as the codec offers it to the stream
// driver, and the driver as the codec sees it. HTTP/1 has one stream at a time, HTTP/2 many.
//
// The codec parses a head, makes a handler, fills its request() and calls Start(). The handler
// sends the answer through the stream and calls Finish() or Abort() once, as its last act.
// Destroying the handler cancels everything that the request was doing; the codec does that from
// the loop, when the client is gone or after Finish(). Sending is never refused: what the kernel
// does not take is kept, and pending_bytes() says when to wait. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/event/signal.h"
#include "proxy/http/headers.h"
#include "proxy/http/request.h"
#include "proxy/net/address.h"

namespace outrigger::http {

struct ResponseHeadToSend {
  int status = 200;
  const HeaderList* headers = nullptr;  // hop-by-hop and framing fields are left out
  bool has_body = false;
  std::optional<uint64_t> body_length;  // unset with a body: until Finish()
  bool close = false;                   // no further request on this connection
};

class ServerStream : public InformationalSink {
 public:
  // Staged until data follows or the turn ends, so that head and body leave in one send.
  virtual void SendHead(const ResponseHeadToSend& head) = 0;
  // In place of SendHead(), for an answer that opens a tunnel: from here on SendData() sends bytes
  // as they are, `is_last` ends this side alone, and the body returned is what the client sends; it
  // may outlive the stream and then fails. REQUIRES: the request asked for it; nothing of the
  // request lies in the connection's buffer any more.
  virtual std::unique_ptr<Body> StartTunnel(const ResponseHeadToSend& head) = 0;
  // `is_last`: Finish() without trailers follows; lets the end leave in the same send.
  virtual void SendData(std::string_view data, bool is_last) = 0;
  // The end of the answer. The handler is destroyed when the turn ends.
  virtual void Finish(const HeaderList* trailers) = 0;
  // Ends the answer so that the client cannot take it for complete. After the head was sent.
  virtual void Abort() = 0;

  // What the kernel has not taken; `drained` is notified when it becomes zero.
  virtual size_t pending_bytes() const = 0;
  virtual Signal& drained() = 0;
  virtual bool is_head_sent() const = 0;
};

class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual Request& request() = 0;
  // The request's head is complete. May finish the stream before it returns.
  virtual void Start(ServerStream& stream) = 0;
  // A client that left: told before the handler is destroyed, for the record.
  virtual void OnClientGone() = 0;
  // The proxy ends: finishes or aborts the stream at once, saying why. From the loop.
  virtual void OnShutdown() = 0;
};

// Makes the handler of each request of a listener.
class StreamHandlerFactory {
 public:
  virtual ~StreamHandlerFactory() = default;
  virtual std::unique_ptr<StreamHandler> NewHandler() = 0;
  // A head that could not be accepted: the answer that the codec sends before it closes.
  struct Rejection {
    int status = 400;
    std::string_view body;
  };
  // Fills `headers` with fields whose strings live in `arena`. `is_grpc`: it was a gRPC call, and
  // the answer is in its form.
  virtual Rejection Reject(Reason reason, std::string_view detail, bool is_grpc, Arena& arena,
                           HeaderList& headers) = 0;
  // No new requests: answers get `Connection: close`.
  virtual bool is_draining() const = 0;
};

}  // namespace outrigger::http
