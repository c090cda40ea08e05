// What the connections of a listener share. All of it outlives them.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/event/deadline_queue.h"
#include "proxy/event/event_loop.h"
#include "proxy/http/server_stream.h"
#include "proxy/http1/head_parser.h"
#include "proxy/net/buffer_pool.h"
#include "proxy/net/secure_session.h"

namespace outrigger::http1 {

// A connection that turned out to speak HTTP/2, on its way to the codec that does.
struct Http2Handover {
  int fd = -1;                                  // owned by the receiver
  std::unique_ptr<net::SecureSession> session;  // null: the connection is plain
  std::string peer_host;
  std::string_view received;        // bytes that were read already, the preface first
  std::function<void()> on_closed;  // of the connection that takes over
};

class Http2Acceptor {
 public:
  virtual ~Http2Acceptor() = default;
  virtual void Accept(Http2Handover handover) = 0;
};

struct ServerContext {
  EventLoop* loop = nullptr;
  net::BufferPool* pool = nullptr;
  http::StreamHandlerFactory* handlers = nullptr;
  // Takes connections that begin with the preface of HTTP/2 (RFC 9113, 3.4); null: they are
  // refused.
  Http2Acceptor* http2 = nullptr;
  HeadLimits head_limits;
  std::optional<uint64_t> max_body_bytes;
  // Other limits for some media types, in lower case; null: none (PR-9).
  const std::map<std::string, std::optional<size_t>>* max_body_by_type = nullptr;
  bool allow_half_close = false;
  // The protocols that requests may change to, in lower case; null: none (PR-4).
  const std::vector<std::string>* upgrades = nullptr;
  DeadlineQueue* header_timeouts = nullptr;      // first byte of a head to its end
  DeadlineQueue* body_idle_timeouts = nullptr;   // between bytes of a request body
  DeadlineQueue* write_idle_timeouts = nullptr;  // a client that does not take its answer
  DeadlineQueue* idle_timeouts = nullptr;        // between requests
  DeadlineQueue* linger_timeouts = nullptr;      // after an answer that closes

  // The limit for a request with these fields.
  std::optional<uint64_t> MaxBodyBytes(const http::HeaderList& headers) const;
};

}  // namespace outrigger::http1
