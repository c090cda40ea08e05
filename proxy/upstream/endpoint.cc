#include "proxy/upstream/endpoint.h"

#include <algorithm>
#include <utility>

namespace outrigger::upstream {
namespace {

constexpr absl::Duration kHandshakeTimeout = absl::Seconds(2);  // TO-1
constexpr absl::Duration kFirstEjection = absl::Seconds(1);
constexpr absl::Duration kLongestEjection = absl::Seconds(30);

}  // namespace

EndpointState::EndpointState(EventLoop& loop, net::BufferPool& pool,
                             const UpstreamOptions& upstream,
                             const UpstreamOptions::EndpointOptions& options)
    : loop_(loop),
      options_(options),
      max_idle_(upstream.keepalive_max),
      connect_timeouts_(loop, options.connect_timeout),
      handshake_timeouts_(loop, kHandshakeTimeout),
      idle_limit_(upstream.keepalive_idle) {
  if (!options.endpoint.needs_resolving()) addresses_.push_back(options.endpoint.address);
  if (upstream.protocol == Protocol::kHttp2) {
    http2_ = std::make_unique<Http2Pool>(loop, pool, *this, upstream);
  }
}

EndpointState::~EndpointState() { CloseIdle(); }

http1::ClientConnection* EndpointState::TakeIdle(bool may_run_twice) {
  if (idle_.empty()) return nullptr;
  http1::ClientConnection* connection = idle_.back();
  absl::Duration limit = idle_limit_.value();
  if (!may_run_twice) limit = std::min(limit, IdleLimit::kUnsafeLimit);
  // Back is the youngest: when it is too old, all are.
  if (loop_.Now() - connection->idle_since >= limit) return nullptr;
  idle_.pop_back();
  connection->SetIdleOwner(nullptr);
  return connection;
}

void EndpointState::PutIdle(http1::ClientConnection& connection) {
  if (max_idle_ == 0) {
    connection.CloseAndDelete();
    return;
  }
  if (idle_.size() >= max_idle_) {
    idle_.front()->CloseAndDelete();
    idle_.erase(idle_.begin());
  }
  connection.idle_since = loop_.Now();
  connection.SetIdleOwner(this);
  idle_.push_back(&connection);
}

void EndpointState::CloseIdle() {
  if (http2_ != nullptr) http2_->CloseIdle();
  for (http1::ClientConnection* connection : std::exchange(idle_, {})) connection->CloseAndDelete();
}

const net::SocketAddress& EndpointState::NextAddress() {
  next_address_ = (next_address_ + 1) % addresses_.size();
  return addresses_[next_address_];
}

void EndpointState::SetAddresses(std::vector<net::SocketAddress> addresses) {
  addresses_ = std::move(addresses);
  next_address_ = 0;
}

void EndpointState::OnConnectResult(bool succeeded, MonoTime now) {
  if (succeeded) {
    ejection_ = absl::ZeroDuration();
    ejected_until_ = MonoTime();
    return;
  }
  // Attempts that fail together are one failure.
  if (is_ejected(now)) return;
  ejection_ = ejection_ == absl::ZeroDuration() ? kFirstEjection
                                                : std::min(ejection_ * 2, kLongestEjection);
  ejected_until_ = now + ejection_;
}

void EndpointState::OnIdleClosed(http1::ClientConnection& connection) {
  const auto position = std::find(idle_.begin(), idle_.end(), &connection);
  if (position != idle_.end()) idle_.erase(position);
  const MonoTime now = loop_.Now();
  idle_limit_.OnIdleClose(now - connection.idle_since, now);
  connection.CloseAndDelete();
}

}  // namespace outrigger::upstream
