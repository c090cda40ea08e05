// One endpoint of an upstream in one worker: its addresses, its idle connections, and whether it is
// ejected. Used by Upstream only.

#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "proxy/event/deadline_queue.h"
#include "proxy/http1/client_connection.h"
#include "proxy/net/address.h"
#include "proxy/upstream/http2_pool.h"
#include "proxy/upstream/idle_limit.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::upstream {

class EndpointState final : private http1::ClientConnection::IdleOwner {
 public:
  EndpointState(EventLoop& loop, net::BufferPool& pool, const UpstreamOptions& upstream,
                const UpstreamOptions::EndpointOptions& options);
  ~EndpointState() override;

  // The connection used last, when it was idle for less than the limit; null: make a new one.
  http1::ClientConnection* TakeIdle(bool may_run_twice);
  void PutIdle(http1::ClientConnection& connection);
  void CloseIdle();
  size_t idle_count() const { return http2_ != nullptr ? http2_->idle_count() : idle_.size(); }
  // Connections that serve requests.
  size_t active_count() const { return http2_ != nullptr ? http2_->active_count() : in_flight; }
  // False: there surely is no connection to be reused.
  bool may_have_kept() const { return http2_ != nullptr || !idle_.empty(); }
  // Null: it speaks HTTP/1.
  Http2Pool* http2() const { return http2_.get(); }

  bool has_address() const { return !addresses_.empty(); }
  const std::vector<net::SocketAddress>& addresses() const { return addresses_; }
  // In turn, so that a name with several addresses is tried at all of them.
  const net::SocketAddress& NextAddress();
  void SetAddresses(std::vector<net::SocketAddress> addresses);

  bool is_ejected(MonoTime now) const { return now < ejected_until_; }
  MonoTime ejected_until() const { return ejected_until_; }
  void OnConnectResult(bool succeeded, MonoTime now);

  DeadlineQueue& connect_timeouts() { return connect_timeouts_; }
  DeadlineQueue& handshake_timeouts() { return handshake_timeouts_; }
  const UpstreamOptions::EndpointOptions& options() const { return options_; }
  IdleLimit& idle_limit() { return idle_limit_; }

  size_t in_flight = 0;

 private:
  void OnIdleClosed(http1::ClientConnection& connection) override;

  EventLoop& loop_;
  const UpstreamOptions::EndpointOptions& options_;
  const size_t max_idle_;
  DeadlineQueue connect_timeouts_;
  DeadlineQueue handshake_timeouts_;
  IdleLimit idle_limit_;
  std::vector<net::SocketAddress> addresses_;
  size_t next_address_ = 0;
  // Used last at the back. Those idle for too long stay, unused, to learn when the service closes.
  std::vector<http1::ClientConnection*> idle_;
  MonoTime ejected_until_;
  absl::Duration ejection_ = absl::ZeroDuration();
  std::unique_ptr<Http2Pool> http2_;
};

}  // namespace outrigger::upstream
