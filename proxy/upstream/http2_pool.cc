#include "proxy/upstream/http2_pool.h"

#include <algorithm>
#include <utility>

#include "proxy/upstream/connect_error.h"
#include "proxy/upstream/endpoint.h"

namespace outrigger::upstream {

using http::Failure;
using http::Phase;
using http::Reason;
using http2::ClientConnection;
using http2::ClientStreamPtr;

namespace {

// How long a connected service may take to greet, to give a sign of life, or to allow a stream.
// Longer than a connect: the kernel accepts, but a busy program greets.
constexpr absl::Duration kSettingsTimeout = absl::Seconds(10);

}  // namespace

void Http2Pool::Waiter::Fail(Reason reason, std::string_view detail) {
  Unlink();
  deadline.Unlink();
  const bool is_ours = reason == Reason::kConcurrency;
  failure = {
      .reason = reason, .phase = is_ours ? Phase::kLocal : Phase::kConnect, .detail = detail};
  granted.Notify();
}

Http2Pool::Http2Pool(EventLoop& loop, net::BufferPool& buffers, EndpointState& endpoint,
                     const UpstreamOptions& upstream)
    : loop_(loop),
      buffers_(buffers),
      endpoint_(endpoint),
      max_idle_(upstream.keepalive_max),
      settings_timeouts_(loop, kSettingsTimeout),
      idle_timeouts_(loop, upstream.keepalive_idle) {}

Http2Pool::~Http2Pool() {
  for (ClientConnection* connection : std::exchange(connections_, {})) connection->CloseNow();
}

ClientConnection* Http2Pool::Find(Upstream::Need need, uint64_t min_serial) {
  absl::Duration limit = endpoint_.idle_limit().value();
  if (!need.may_run_twice) limit = std::min(limit, IdleLimit::kUnsafeLimit);
  for (ClientConnection* connection : connections_) {
    if (connection->serial < min_serial || connection->room() == 0) continue;
    if (connection->is_idle() && loop_.Now() - connection->idle_since() >= limit) continue;
    return connection;
  }
  return nullptr;
}

ClientStreamPtr Http2Pool::TryTake(Upstream::Need need) {
  if (need.must_be_new || !waiters_.empty()) return nullptr;
  ClientConnection* connection = Find(need, 0);
  return connection != nullptr ? connection->NewStream() : nullptr;
}

Task<Expected<ClientStreamPtr, Failure>> Http2Pool::Take(Upstream::Need need) {
  ClientStreamPtr kept = TryTake(need);
  if (kept != nullptr) co_return std::move(kept);
  Waiter waiter(loop_, need);
  if (need.must_be_new) waiter.min_serial = NewSerial();
  waiters_.PushBack(waiter);
  settings_timeouts_.Arm(waiter.deadline);
  ServeWaiters();
  while (waiter.stream == nullptr && waiter.failure.reason == Reason::kNone) {
    co_await waiter.granted.Wait();
  }
  if (waiter.stream == nullptr) co_return waiter.failure;
  co_return std::move(waiter.stream);
}

uint64_t Http2Pool::NewSerial() const {
  for (const ClientConnection* connection : connections_) {
    if (connection->is_connecting()) return connection->serial;
  }
  return next_serial_;
}

void Http2Pool::ServeWaiters() {
  waiters_.ForEach([this](Waiter& waiter) {
    ClientConnection* connection = Find(waiter.need, waiter.min_serial);
    if (connection == nullptr) return;
    waiter.Unlink();
    waiter.deadline.Unlink();
    waiter.stream = connection->NewStream();
    waiter.granted.Notify();
  });
  if (!waiters_.empty()) MakeEnough();
}

void Http2Pool::MakeEnough() {
  size_t missing = 0;
  waiters_.ForEach([&missing](Waiter&) { ++missing; });
  size_t expected = 0;
  const size_t each = std::max<size_t>(expected_streams_, 1);
  for (const ClientConnection* connection : connections_) {
    if (connection->is_connecting()) expected += each;
    // It allows no stream at all: another connection would hear the same.
    if (connection->is_idle() && connection->room() == 0) return;
  }
  while (expected < missing) {
    if (!StartConnection()) return;
    expected += each;
  }
}

bool Http2Pool::StartConnection() {
  const int fd = net::StartConnect(endpoint_.NextAddress());
  if (fd < 0) {
    if (IsOwnShortage(-fd)) {
      FailWaiters(Reason::kConcurrency, kShortage);
    } else {
      endpoint_.OnConnectResult(false, loop_.Now());
      FailWaiters(Reason::kConnectFail, {});
    }
    return false;
  }
  const ClientConnection::Timeouts timeouts{endpoint_.connect_timeouts(),
                                            endpoint_.handshake_timeouts(), settings_timeouts_,
                                            idle_timeouts_};
  auto* connection =
      new ClientConnection(loop_, buffers_, fd, timeouts, endpoint_.options().new_session, *this);
  connection->serial = next_serial_++;
  connections_.push_back(connection);
  return true;
}

void Http2Pool::FailWaiters(Reason reason, std::string_view detail) {
  while (!waiters_.empty()) waiters_.front().Fail(reason, detail);
}

void Http2Pool::OnOpen(ClientConnection&) { endpoint_.OnConnectResult(true, loop_.Now()); }

void Http2Pool::OnChange(ClientConnection& connection) {
  if (connection.is_open()) expected_streams_ = connection.max_streams();
  ServeWaiters();
  TrimIdle();
}

void Http2Pool::OnEnd(ClientConnection& connection, ClientConnection::End end) {
  std::erase(connections_, &connection);
  const MonoTime now = loop_.Now();
  switch (end) {
    case ClientConnection::End::kConnectFailed:
      endpoint_.OnConnectResult(false, now);
      // While others are on their way there is hope.
      if (!is_connecting()) FailWaiters(Reason::kConnectFail, {});
      break;
    case ClientConnection::End::kWhileIdle:
      endpoint_.idle_limit().OnIdleClose(now - connection.idle_since(), now);
      break;
    case ClientConnection::End::kByService:
    case ClientConnection::End::kByUs:
      break;
  }
  ServeWaiters();
}

void Http2Pool::TrimIdle() {
  size_t count = idle_count();
  for (size_t i = 0; i < connections_.size() && count > max_idle_;) {
    if (!connections_[i]->is_idle()) {
      ++i;
      continue;
    }
    ClientConnection* connection = connections_[i];
    connections_.erase(connections_.begin() + static_cast<ptrdiff_t>(i));
    connection->CloseNow();
    --count;
  }
}

void Http2Pool::CloseIdle() {
  for (size_t i = connections_.size(); i-- > 0;) {
    ClientConnection* connection = connections_[i];
    if (!connection->is_idle()) continue;
    connections_.erase(connections_.begin() + static_cast<ptrdiff_t>(i));
    connection->CloseNow();
  }
}

bool Http2Pool::is_connecting() const {
  return std::any_of(
      connections_.begin(), connections_.end(),
      [](const ClientConnection* connection) { return connection->is_connecting(); });
}

size_t Http2Pool::idle_count() const {
  return static_cast<size_t>(
      std::count_if(connections_.begin(), connections_.end(),
                    [](const ClientConnection* connection) { return connection->is_idle(); }));
}

size_t Http2Pool::active_count() const { return connections_.size() - idle_count(); }

}  // namespace outrigger::upstream
