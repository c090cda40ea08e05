// A listener as one worker sees it: its socket, its connections, and what holds for their requests.
//
//   WorkerListener listener(parts);
//   listener.Adopt(0, snapshot, tls);     // before Open(), and again for each configuration
//   listener.Open(fd);
//   listener.AnnounceDrain();  listener.Drain();
//
// A new configuration holds for new connections and, limits and routes, for the next request of
// those that are open. One that the configuration has no longer keeps the last snapshot that it
// was in. One worker; must not go in the turn in which its last connection ended.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/chain/stream_driver.h"
#include "proxy/event/deadline_queues.h"
#include "proxy/http/downstream_connection.h"
#include "proxy/http1/server_context.h"
#include "proxy/http2/server_connection.h"
#include "proxy/net/listener.h"
#include "proxy/server/handshake_reporter.h"
#include "proxy/tls/server_context.h"

namespace outrigger::server {

class WorkerListener final : private http1::Http2Acceptor {
 public:
  // Of the worker; outlives its listeners.
  struct Parts {
    EventLoop& loop;
    net::BufferPool& pool;
    DeadlineQueues& timeouts;
    metrics::WorkerMetrics& metrics;
    metrics::StandardMetrics& standard_metrics;
    log::Logger& log;
    chain::IdentityMaker& identity;
    MemoryBudget& budget;
    std::string_view via_name;
    HandshakeReporters& handshakes;
    const bool& refuses_requests;
    std::atomic<int64_t>& active_requests;
    std::atomic<int64_t>& open_connections;
  };

  explicit WorkerListener(const Parts& parts);
  ~WorkerListener() override;

  // `index` is the listener's place in the snapshot's configuration; `tls` is null: plain.
  void Adopt(size_t index, std::shared_ptr<const chain::ChainSnapshot> snapshot,
             std::shared_ptr<const tls::ServerContext> tls);
  // Takes `fd`, from net::Listener::Open(), and accepts.
  void Open(int fd);
  void StopAccepting();
  // Answers say that they are the last of their connection.
  void AnnounceDrain();
  // Accepts no more; connections end when they have nothing to do.
  void Drain();

  template <class Visit>
  void ForEachConnection(Visit visit) {
    connections_.ForEach([&visit](http::DownstreamConnection::Membership& membership) {
      visit(membership.connection);
    });
  }
  bool has_connections() const { return !connections_.empty(); }

 private:
  class HandlerFactory;

  // http1::Http2Acceptor
  void Accept(http1::Http2Handover handover) override;

  void OnAccept(int fd, const net::SocketAddress& peer);
  void OnFlood(std::string_view peer, std::string_view what);
  const config::ListenerConfig& config() const { return snapshot_->config->listeners[index_]; }

  const Parts& parts_;
  std::shared_ptr<const chain::ChainSnapshot> snapshot_;
  size_t index_ = 0;
  std::shared_ptr<const tls::ServerContext> tls_;
  HandshakeReporter* handshakes_ = nullptr;  // with tls_
  bool is_draining_ = false;
  bool is_drained_ = false;  // Drain() was called: connections that come late are told as well
  std::unique_ptr<HandlerFactory> handlers_;
  http1::ServerContext context_;
  http2::ServerContext http2_context_;
  std::unique_ptr<net::Listener> listener_;
  IntrusiveList<http::DownstreamConnection::Membership> connections_;
};

}  // namespace outrigger::server
