// One request and its answer on an upstream connection, as the codec offers it to the router: the
// counterpart of ServerStream. HTTP/1 has one at a time on a connection, HTTP/2 many.
//
//   stream.SendHead(head);                        // and, when it is in memory, the body with it
//   stream.SendData(piece); ... stream.Finish(trailers);
//   auto answer = co_await stream.ReadHead(headers, sink);
//   while (...) { auto chunk = co_await stream.ReadBody(); ... }
//
// Sending is never refused: what the kernel, or the peer's window, does not take is kept, and
// pending_bytes() says when to wait. What broke while sending is told by ReadHead(), because the
// service may have answered before. Who lets go of a stream before its answer's end ends the
// exchange, so that the service stops at once.
//
// A request that asks for a tunnel is not finished until its answer has come: is that a tunnel,
// SendData() and ReadBody() carry its bytes and Finish() ends this side of it; else Finish() ends
// the request. One worker.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/base/expected.h"
#include "proxy/coro/task.h"
#include "proxy/event/signal.h"
#include "proxy/http/body.h"
#include "proxy/http/failure.h"
#include "proxy/http/headers.h"
#include "proxy/http/method.h"
#include "proxy/http/request.h"

namespace outrigger::http {

struct RequestHeadToSend {
  Method method = Method::kOther;
  std::string_view method_name;
  std::string_view target;  // origin form, or "*"
  std::string_view scheme;
  // Host of HTTP/1, :authority of HTTP/2.
  std::string_view authority;
  // Hop-by-hop and framing fields are left out, and those whose ids are in `skipped`.
  const HeaderList* headers = nullptr;
  HeaderIdSet skipped;
  // Behind the others.
  const HeaderList* added = nullptr;
  // Unset with a body: until Finish(). Without a body only a zero that the client stated is set.
  bool has_body = false;
  std::optional<uint64_t> body_length;
  // Not empty: asks for a tunnel of that protocol. REQUIRES: allows_tunnels(), no body.
  std::string_view upgrade;
};

// Of a final response, as received. 101: the stream is a tunnel from here on, in HTTP/2, too.
struct ReceivedHead {
  int status = 0;
  bool has_body = false;
  std::optional<uint64_t> body_length;  // or what a body would have, of HEAD and 304
  bool is_framed = true;                // false: the body ends by closing
};

class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Whether the service may be asked for a tunnel.
  virtual bool allows_tunnels() const = 0;

  // Begins the exchange. False: there is something in it that must not be sent, and nothing was.
  [[nodiscard]] virtual bool SendHead(const RequestHeadToSend& head) = 0;
  // False: broken; ReadHead() will say how.
  virtual bool SendData(std::string_view data) = 0;
  // The end of the request; `trailers` may be null.
  virtual bool Finish(const HeaderList* trailers) = 0;
  // What is not yet sent; `drained` is notified when it becomes zero.
  virtual size_t pending_bytes() const = 0;
  virtual Signal& drained() = 0;

  // The final head. Views in `headers` are valid until the first ReadBody(). Interim responses go
  // to `sink`; 100 wakes `continued()`.
  virtual Task<Expected<ReceivedHead, Failure>> ReadHead(HeaderList& headers,
                                                         InformationalSink* sink) = 0;
  // Notified by `100 Continue` and by the final head.
  virtual Signal& continued() = 0;
  virtual bool has_final_head() const = 0;
  virtual Task<ChunkResult> ReadBody() = 0;
  // The same when it need not wait.
  virtual std::optional<ChunkResult> TryReadBody() = 0;
  virtual const HeaderList* trailers() const = 0;

  // Gives up the exchange: the waiting ReadHead() or ReadBody() fails.
  virtual void Abort() = 0;
};

}  // namespace outrigger::http
