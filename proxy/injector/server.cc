#include "proxy/injector/server.h"

#include <unistd.h>

#include <cstring>

#include "filters/common/local_reply.h"
#include "proxy/http1/server_connection.h"

namespace outrigger::injector {
namespace {

constexpr size_t kMaxConnections = 256;
// The API server takes objects of 1.5 MiB, and says little besides.
constexpr uint64_t kMaxBodyBytes = 3 << 20;
constexpr size_t kMaxHeadBytes = 16 << 10;
constexpr absl::Duration kRequestTimeout = absl::Seconds(10);
constexpr absl::Duration kStepTimeout = absl::Seconds(5);
constexpr absl::Duration kIdleTimeout = absl::Minutes(3);
constexpr absl::Duration kLingerTimeout = absl::Seconds(2);

}  // namespace

Server::Server(EventLoop& loop, net::BufferPool& pool, const Parts& parts)
    : loop_(loop),
      parts_(parts),
      timeouts_(loop),
      handler_context_{.webhook = parts.webhook,
                       .budget = pool.budget(),
                       .deadlines = timeouts_.For(kRequestTimeout)} {
  context_.loop = &loop;
  context_.pool = &pool;
  context_.handlers = this;
  context_.head_limits.max_head_bytes = kMaxHeadBytes;
  context_.max_body_bytes = kMaxBodyBytes;
  context_.header_timeouts = &timeouts_.For(kStepTimeout);
  context_.body_idle_timeouts = &timeouts_.For(kStepTimeout);
  context_.write_idle_timeouts = &timeouts_.For(kStepTimeout);
  context_.idle_timeouts = &timeouts_.For(kIdleTimeout);
  context_.linger_timeouts = &timeouts_.For(kLingerTimeout);
}

Server::~Server() {
  connections_.ForEach(
      [](http::DownstreamConnection::Membership& membership) { membership.connection.CloseNow(); });
  loop_.RunPending();
}

absl::StatusOr<net::SocketAddress> Server::Listen(const std::string& address) {
  const absl::StatusOr<net::Endpoint> endpoint = net::ParseEndpoint(address);
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->needs_resolving()) {
    return absl::InvalidArgumentError("the address to listen on must be numeric");
  }
  const absl::Status is_free = net::Listener::CheckFree(endpoint->address);
  if (!is_free.ok()) return is_free;
  const absl::StatusOr<int> fd = net::Listener::Open(endpoint->address);
  if (!fd.ok()) return fd.status();
  listener_ = std::make_unique<net::Listener>(
      loop_, *fd,
      net::Listener::Callbacks{
          .on_accept = [this](int client,
                              const net::SocketAddress& peer) { OnAccept(client, peer); },
          .on_exhausted =
              [this](int error) {
                parts_.log.Error("accept_failed").Str("error", std::strerror(error));
              }});
  return net::Listener::AddressOf(*fd);
}

void Server::OnAccept(int fd, const net::SocketAddress& peer) {
  if (connection_count_ >= kMaxConnections) {
    connections_.ForEach(
        [](http::DownstreamConnection::Membership& membership) { membership.connection.Drain(); });
  }
  if (connection_count_ >= kMaxConnections) {
    close(fd);
    return;
  }
  ++connection_count_;
  auto* connection = new http1::ServerConnection(
      context_, fd, peer, [this] { --connection_count_; },
      parts_.tls.NewSession(fd, parts_.handshakes));
  connections_.PushBack(connection->membership);
}

void Server::RefuseNew() {
  is_draining_ = true;
  if (listener_ != nullptr) listener_->TakeRestAndClose();
  connections_.ForEach(
      [](http::DownstreamConnection::Membership& membership) { membership.connection.Drain(); });
}

void Server::CloseAll() {
  connections_.ForEach(
      [](http::DownstreamConnection::Membership& membership) { membership.connection.Shutdown(); });
}

std::unique_ptr<http::StreamHandler> Server::NewHandler() {
  return std::make_unique<RequestHandler>(handler_context_);
}

http::StreamHandlerFactory::Rejection Server::Reject(http::Reason reason, std::string_view detail,
                                                     bool, Arena& arena,
                                                     http::HeaderList& headers) {
  common::LocalReplyContext context;
  context.detail = detail;
  const common::LocalReply reply = BuildLocalReply(reason, context, arena);
  for (const http::HeaderField& field : reply.headers()) headers.Add(field);
  parts_.log.Warn("request_refused").Int("status", reply.status).Str("detail", detail);
  return {reply.status, reply.body};
}

}  // namespace outrigger::injector
