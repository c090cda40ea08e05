// A service behind the proxy as one worker sees it: its endpoints, the connections kept to them,
// and which endpoint the next attempt goes to.
//
//   Expected<ConnectionLease, Failure> lease = co_await upstream.Connect({.must_be_new = false});
//   lease->connection() ...
//
// Connect() picks an endpoint (least requests in flight by two random choices, or round robin),
// reuses the connection used last, or makes a new one within the connect timeout; with HTTP/2 it
// takes a stream on a connection that others use, too (http2_pool.h). A failed connect
// ejects the endpoint for 1 s, doubling to 30 s, never the last one (semantics TO-9, RU-3).
// Requests that may not run twice reuse only connections idle for less than half a second.
//
// One worker; the limit of concurrent requests is shared by all (LM-7). An Upstream outlives the
// leases on it.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/http1/client_connection.h"
#include "proxy/http2/client_stream.h"
#include "proxy/net/address.h"
#include "proxy/upstream/idle_limit.h"

namespace outrigger::upstream {

enum class Balance : uint8_t { kLeastRequest, kRoundRobin };
enum class Protocol : uint8_t { kHttp1, kHttp2 };

struct UpstreamOptions {
  struct EndpointOptions {
    net::Endpoint endpoint;
    absl::Duration connect_timeout = absl::Milliseconds(300);
    // Makes the TLS of a connection; empty: plain.
    std::function<std::unique_ptr<net::SecureSession>(int fd)> new_session;
  };

  std::string name;
  std::vector<EndpointOptions> endpoints;
  Protocol protocol = Protocol::kHttp1;
  Balance balance = Balance::kLeastRequest;
  std::optional<int64_t> max_requests;
  absl::Duration keepalive_idle = absl::Seconds(3);
  size_t keepalive_max = 256;
};

// Shared by the workers: lock-free counters.
struct SharedUpstreamState {
  // Requests that run now; counted only where there is a limit.
  std::atomic<int64_t> in_flight{0};
  // When a byte last came from the service; tells a busy one from a dead one (HL-5).
  std::atomic<int64_t> last_byte_nanos{0};
};

class Upstream;
class EndpointState;

// A connection, or a stream of a shared one, for one exchange. Given back on destruction: a
// connection is kept when it can serve another request, else closed, by reset when the exchange was
// not over; a stream that is not over is cancelled.
class ConnectionLease {
 public:
  ConnectionLease() = default;
  ConnectionLease(ConnectionLease&& other) noexcept;
  ConnectionLease& operator=(ConnectionLease&& other) noexcept;
  ~ConnectionLease() { Release(); }

  http::ClientStream& stream() const { return *stream_; }
  EndpointState& endpoint() const { return *endpoint_; }
  // The connection has served requests before.
  bool is_reused() const {
    return http2_ != nullptr ? http2_->is_reused() : connection_->exchanges() > 0;
  }
  void Release();

 private:
  friend class Upstream;
  ConnectionLease(Upstream& upstream, EndpointState& endpoint)
      : upstream_(&upstream), endpoint_(&endpoint) {}

  void Hold(http1::ClientConnection* connection);
  void Hold(http2::ClientStreamPtr stream);

  Upstream* upstream_ = nullptr;
  EndpointState* endpoint_ = nullptr;
  http::ClientStream* stream_ = nullptr;  // one of these:
  http1::ClientConnection* connection_ = nullptr;
  http2::ClientStreamPtr http2_;
};

class Upstream {
 public:
  struct Need {
    bool must_be_new = false;
    bool may_run_twice = true;  // else only a connection used a moment ago
  };

  Upstream(EventLoop& loop, net::BufferPool& pool, Random& random, UpstreamOptions options,
           std::shared_ptr<SharedUpstreamState> shared);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // A kept connection, when there is one and no limit is in the way; else ask Connect(). Nearly
  // every request ends here, without waiting.
  std::optional<ConnectionLease> TryReuse(Need need);
  // Failures: concurrency (LM-7; also when this process is out of descriptors, which ejects
  // nobody), no_healthy_upstream (no address is known), connect_fail.
  Task<Expected<ConnectionLease, http::Failure>> Connect(Need need);

  // Addresses of an endpoint whose name was resolved; empty: the name is not known (any more).
  void SetAddresses(size_t endpoint, std::vector<net::SocketAddress> addresses);
  const std::vector<net::SocketAddress>& addresses(size_t endpoint) const;
  const std::string& name() const { return options_.name; }
  const UpstreamOptions& options() const { return options_; }
  SharedUpstreamState& shared() { return *shared_; }

  // For metrics.
  size_t idle_connections() const;
  size_t active_connections() const;
  size_t ejected_endpoints() const;
  // By the order of the options; an only endpoint never is.
  bool is_ejected(size_t endpoint) const;
  // Closes every idle connection.
  void CloseIdle();

 private:
  friend class ConnectionLease;
  friend class EndpointState;

  // One of the concurrent requests that are allowed (LM-7); given back by Return().
  bool TakeSlot();
  void ReturnSlot();
  EndpointState* Pick();
  // False: there is none.
  static bool TakeKept(Need need, ConnectionLease& lease);
  void Return(EndpointState& endpoint, http1::ClientConnection* connection);

  EventLoop& loop_;
  net::BufferPool& pool_;
  Random& random_;
  const UpstreamOptions options_;
  std::shared_ptr<SharedUpstreamState> shared_;
  std::vector<std::unique_ptr<EndpointState>> endpoints_;
  size_t next_ = 0;
};

}  // namespace outrigger::upstream
