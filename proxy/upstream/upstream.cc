#include "proxy/upstream/upstream.h"

#include <cerrno>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "proxy/coro/abortable.h"
#include "proxy/upstream/connect_error.h"
#include "proxy/upstream/endpoint.h"

namespace outrigger::upstream {

using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;
using http1::ClientConnection;

ConnectionLease::ConnectionLease(ConnectionLease&& other) noexcept
    : upstream_(std::exchange(other.upstream_, nullptr)),
      endpoint_(other.endpoint_),
      stream_(std::exchange(other.stream_, nullptr)),
      connection_(std::exchange(other.connection_, nullptr)),
      http2_(std::move(other.http2_)) {}

ConnectionLease& ConnectionLease::operator=(ConnectionLease&& other) noexcept {
  if (this != &other) {
    Release();
    upstream_ = std::exchange(other.upstream_, nullptr);
    endpoint_ = other.endpoint_;
    stream_ = std::exchange(other.stream_, nullptr);
    connection_ = std::exchange(other.connection_, nullptr);
    http2_ = std::move(other.http2_);
  }
  return *this;
}

void ConnectionLease::Hold(ClientConnection* connection) {
  connection_ = connection;
  stream_ = connection;
}

void ConnectionLease::Hold(http2::ClientStreamPtr stream) {
  http2_ = std::move(stream);
  stream_ = http2_.get();
}

void ConnectionLease::Release() {
  if (upstream_ == nullptr) return;
  stream_ = nullptr;
  http2_.reset();
  std::exchange(upstream_, nullptr)->Return(*endpoint_, std::exchange(connection_, nullptr));
}

Upstream::Upstream(EventLoop& loop, net::BufferPool& pool, Random& random, UpstreamOptions options,
                   std::shared_ptr<SharedUpstreamState> shared)
    : loop_(loop),
      pool_(pool),
      random_(random),
      options_(std::move(options)),
      shared_(std::move(shared)) {
  for (const UpstreamOptions::EndpointOptions& endpoint : options_.endpoints) {
    endpoints_.push_back(std::make_unique<EndpointState>(loop_, pool_, options_, endpoint));
  }
}

Upstream::~Upstream() = default;

EndpointState* Upstream::Pick() {
  const MonoTime now = loop_.Now();
  // The usual case is one endpoint, which is never ejected.
  if (endpoints_.size() == 1) return endpoints_[0]->has_address() ? endpoints_[0].get() : nullptr;

  absl::InlinedVector<EndpointState*, 8> usable;
  EndpointState* ejected = nullptr;
  for (const std::unique_ptr<EndpointState>& endpoint : endpoints_) {
    if (!endpoint->has_address()) continue;
    if (!endpoint->is_ejected(now)) {
      usable.push_back(endpoint.get());
    } else if (ejected == nullptr || endpoint->ejected_until() < ejected->ejected_until()) {
      ejected = endpoint.get();
    }
  }
  if (usable.empty()) return ejected;  // never the last one: the first that may come back
  if (options_.balance == Balance::kRoundRobin || usable.size() == 1) {
    return usable[next_++ % usable.size()];
  }
  EndpointState* first = usable[random_.Below(usable.size())];
  EndpointState* second = usable[random_.Below(usable.size())];
  return second->in_flight < first->in_flight ? second : first;
}

bool Upstream::TakeSlot() {
  if (!options_.max_requests.has_value()) return true;
  std::atomic<int64_t>& in_flight = shared_->in_flight;
  // Test and count in one step: no two workers take the last slot, and none is refused because of
  // another that is being refused.
  int64_t count = in_flight.load(std::memory_order_relaxed);
  do {
    if (count >= *options_.max_requests) return false;
  } while (!in_flight.compare_exchange_weak(count, count + 1, std::memory_order_relaxed));
  return true;
}

void Upstream::ReturnSlot() {
  if (options_.max_requests.has_value()) {
    shared_->in_flight.fetch_sub(1, std::memory_order_relaxed);
  }
}

std::optional<ConnectionLease> Upstream::TryReuse(Need need) {
  if (need.must_be_new) return std::nullopt;
  const size_t turn = next_;
  EndpointState* endpoint = Pick();
  if (endpoint != nullptr && endpoint->may_have_kept() && TakeSlot()) {
    ++endpoint->in_flight;
    ConnectionLease lease(*this, *endpoint);
    if (TakeKept(need, lease)) return lease;
  }
  // Connect() picks again: this endpoint's turn is not over.
  next_ = turn;
  return std::nullopt;
}

namespace {

// Of what the connection is waiting for: 0, or errno.
Task<int> Outcome(ClientConnection& connection, DeadlineQueue& timeouts) {
  Abortable<int> connecting(connection.WaitConnected());
  DeadlineEntry deadline([&connecting] { connecting.Abort(); });
  timeouts.Arm(deadline);
  const std::optional<int> error = co_await connecting;
  co_return error.value_or(ETIMEDOUT);
}

}  // namespace

bool Upstream::TakeKept(Need need, ConnectionLease& lease) {
  if (Http2Pool* pool = lease.endpoint().http2(); pool != nullptr) {
    http2::ClientStreamPtr stream = pool->TryTake(need);
    if (stream == nullptr) return false;
    lease.Hold(std::move(stream));
    return true;
  }
  ClientConnection* connection = lease.endpoint().TakeIdle(need.may_run_twice);
  if (connection == nullptr) return false;
  lease.Hold(connection);
  return true;
}

Task<Expected<ConnectionLease, Failure>> Upstream::Connect(Need need) {
  if (!TakeSlot()) co_return Failure{.reason = Reason::kConcurrency};
  EndpointState* endpoint = Pick();
  if (endpoint == nullptr) {
    ReturnSlot();
    co_return Failure{.reason = Reason::kNoHealthyUpstream, .phase = Phase::kConnect};
  }
  ++endpoint->in_flight;
  ConnectionLease lease(*this, *endpoint);
  if (endpoint->http2() != nullptr) {
    Expected<http2::ClientStreamPtr, Failure> stream = co_await endpoint->http2()->Take(need);
    if (!stream.ok()) co_return stream.error();
    lease.Hold(std::move(stream).value());
    co_return lease;
  }
  if (!need.must_be_new && TakeKept(need, lease)) co_return lease;

  const Failure failed{.reason = Reason::kConnectFail, .phase = Phase::kConnect};
  const int fd = net::StartConnect(endpoint->NextAddress());
  if (fd < 0 && IsOwnShortage(-fd)) {
    co_return Failure{.reason = Reason::kConcurrency, .detail = kShortage};
  }
  if (fd < 0) {
    endpoint->OnConnectResult(false, loop_.Now());
    co_return failed;
  }
  lease.Hold(new ClientConnection(loop_, pool_, fd));
  int error = co_await Outcome(*lease.connection_, endpoint->connect_timeouts());
  if (error == 0 && endpoint->options().new_session) {
    lease.connection_->StartTls(endpoint->options().new_session(fd));
    const int handshake = co_await Outcome(*lease.connection_, endpoint->handshake_timeouts());
    error = handshake;
  }
  endpoint->OnConnectResult(error == 0, loop_.Now());
  if (error != 0) co_return failed;
  co_return lease;
}

void Upstream::Return(EndpointState& endpoint, ClientConnection* connection) {
  --endpoint.in_flight;
  ReturnSlot();
  if (connection == nullptr) return;
  if (connection->is_reusable()) {
    endpoint.PutIdle(*connection);
  } else {
    // An exchange that was cut short is ended by a reset, so that the service stops at once.
    connection->CloseAndDelete(/*with_reset=*/!connection->is_exchange_over());
  }
}

void Upstream::SetAddresses(size_t endpoint, std::vector<net::SocketAddress> addresses) {
  endpoints_[endpoint]->SetAddresses(std::move(addresses));
}

const std::vector<net::SocketAddress>& Upstream::addresses(size_t endpoint) const {
  return endpoints_[endpoint]->addresses();
}

size_t Upstream::idle_connections() const {
  size_t count = 0;
  for (const std::unique_ptr<EndpointState>& endpoint : endpoints_) count += endpoint->idle_count();
  return count;
}

size_t Upstream::active_connections() const {
  size_t count = 0;
  for (const std::unique_ptr<EndpointState>& endpoint : endpoints_) {
    count += endpoint->active_count();
  }
  return count;
}

size_t Upstream::ejected_endpoints() const {
  size_t count = 0;
  for (size_t i = 0; i < endpoints_.size(); ++i) count += is_ejected(i) ? 1 : 0;
  return count;
}

bool Upstream::is_ejected(size_t endpoint) const {
  return endpoints_.size() > 1 && endpoints_[endpoint]->is_ejected(loop_.Now());  // see Pick()
}

void Upstream::CloseIdle() {
  for (const std::unique_ptr<EndpointState>& endpoint : endpoints_) endpoint->CloseIdle();
}

}  // namespace outrigger::upstream
