#include "proxy/server/worker_listener.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "filters/common/local_reply.h"
#include "proxy/chain/http_date.h"
#include "proxy/http1/server_connection.h"
#include "proxy/server/tls_contexts.h"

namespace outrigger::server {
namespace {

constexpr absl::Duration kLingerTimeout = absl::Seconds(2);

}  // namespace

// Makes a driver for each request, and the answers to heads that cannot be accepted.
class WorkerListener::HandlerFactory final : public http::StreamHandlerFactory {
 public:
  explicit HandlerFactory(WorkerListener& listener)
      : context_{.loop = listener.parts_.loop,
                 .metrics = listener.parts_.metrics,
                 .standard_metrics = listener.parts_.standard_metrics,
                 .log = listener.parts_.log,
                 .identity = listener.parts_.identity,
                 .budget = listener.parts_.budget,
                 .snapshot = listener.snapshot_,
                 .via_name = listener.parts_.via_name,
                 .is_draining = listener.is_draining_,
                 .refuses_requests = listener.parts_.refuses_requests,
                 .active_requests = listener.parts_.active_requests} {}

  void set_listener(size_t index) { context_.listener = index; }

  std::unique_ptr<http::StreamHandler> NewHandler() override {
    return std::make_unique<chain::StreamDriver>(context_);
  }

  Rejection Reject(http::Reason reason, std::string_view detail, bool is_grpc, Arena& arena,
                   http::HeaderList& headers) override {
    common::LocalReplyContext reply_context;
    static const http::HeaderList kNoHeaders;
    reply_context.request_id = context_.identity.RequestId(kNoHeaders, arena);
    reply_context.detail = detail;
    if (is_grpc) reply_context.format = common::ErrorFormat::kGrpc;
    const common::LocalReply reply = BuildLocalReply(reason, reply_context, arena);
    for (const http::HeaderField& field : reply.headers()) headers.Add(field);
    headers.Add("x-request-id", reply_context.request_id);
    headers.Add("Date", chain::HttpDateNow(context_.loop, arena));
    context_.log.Warn("request_refused")
        .Str("request_id", reply_context.request_id)
        .Int("status", reply.status)
        .Str("reason", ReasonName(reason))
        .Str("detail", detail);
    return {reply.status, reply.body};
  }

  bool is_draining() const override { return context_.is_draining; }

 private:
  chain::DriverContext context_;
};

WorkerListener::WorkerListener(const Parts& parts)
    : parts_(parts),
      handlers_(std::make_unique<HandlerFactory>(*this)),
      http2_context_{.listener = context_,
                     .on_flood = [this](std::string_view peer, std::string_view what) {
                       OnFlood(peer, what);
                     }} {
  context_.loop = &parts_.loop;
  context_.pool = &parts_.pool;
  context_.handlers = handlers_.get();
  context_.linger_timeouts = &parts_.timeouts.For(kLingerTimeout);
}

WorkerListener::~WorkerListener() = default;

void WorkerListener::Adopt(size_t index, std::shared_ptr<const chain::ChainSnapshot> snapshot,
                           std::shared_ptr<const tls::ServerContext> tls) {
  snapshot_ = std::move(snapshot);
  index_ = index;
  tls_ = std::move(tls);
  handlers_->set_listener(index);
  if (tls_ != nullptr) {
    handshakes_ = &parts_.handshakes.For(TlsContexts::kDownstream, config().name);
  }
  const config::ListenerLimits& limits = config().limits;
  context_.http2 = config().protocol == config::ListenerProtocol::kAuto ? this : nullptr;
  context_.head_limits.max_head_bytes = limits.headers;
  context_.head_limits.max_fields = static_cast<size_t>(limits.header_count);
  context_.max_body_bytes = limits.body;
  context_.max_body_by_type = limits.body_by_type.empty() ? nullptr : &limits.body_by_type;
  context_.allow_half_close = config().half_close == config::HalfClose::kAllow;
  context_.upgrades = config().upgrades.empty() ? nullptr : &config().upgrades;
  context_.header_timeouts = &parts_.timeouts.For(limits.header_timeout);
  context_.body_idle_timeouts = &parts_.timeouts.For(limits.body_idle_timeout);
  context_.write_idle_timeouts = &parts_.timeouts.For(limits.write_idle_timeout);
  context_.idle_timeouts = &parts_.timeouts.For(limits.idle_timeout);
}

void WorkerListener::Open(int fd) {
  listener_ = std::make_unique<net::Listener>(
      parts_.loop, fd,
      net::Listener::Callbacks{
          .on_accept = [this](int client,
                              const net::SocketAddress& peer) { OnAccept(client, peer); },
          .on_exhausted =
              [this](int error) {
                parts_.metrics.Increment(parts_.standard_metrics.accept_errors);
                parts_.log.Error("accept_failed").Str("error", std::strerror(error));
              }});
}

void WorkerListener::StopAccepting() {
  if (listener_ != nullptr) listener_->TakeRestAndClose();
}

void WorkerListener::AnnounceDrain() {
  is_draining_ = true;
  ForEachConnection([](http::DownstreamConnection& connection) { connection.AnnounceDrain(); });
}

void WorkerListener::Drain() {
  is_draining_ = is_drained_ = true;
  StopAccepting();
  ForEachConnection([](http::DownstreamConnection& connection) { connection.Drain(); });
}

void WorkerListener::OnAccept(int fd, const net::SocketAddress& peer) {
  std::unique_ptr<net::SecureSession> session;
  if (tls_ != nullptr) session = tls_->NewSession(fd, *handshakes_);
  parts_.open_connections.fetch_add(1, std::memory_order_relaxed);
  parts_.metrics.Add(parts_.standard_metrics.downstream_connections, 1);
  const auto on_closed = [&parts = parts_] {
    parts.open_connections.fetch_sub(1, std::memory_order_relaxed);
    parts.metrics.Add(parts.standard_metrics.downstream_connections, -1);
  };
  if (config().protocol == config::ListenerProtocol::kHttp2) {
    Accept({.fd = fd,
            .session = std::move(session),
            .peer_host = peer.HostText(),
            .on_closed = on_closed});
    return;
  }
  auto* connection = new http1::ServerConnection(context_, fd, peer, on_closed, std::move(session));
  connections_.PushBack(connection->membership);
}

void WorkerListener::Accept(http1::Http2Handover handover) {
  auto* connection =
      new http2::ServerConnection(http2_context_, handover.fd, std::move(handover.peer_host),
                                  std::move(handover.on_closed), std::move(handover.session));
  connections_.PushBack(connection->membership);
  connection->Start(handover.received);
  // One that was in the middle of its handshake or preface when the drain began.
  if (is_drained_) connection->Drain();
}

void WorkerListener::OnFlood(std::string_view peer, std::string_view what) {
  const auto names = metrics::Http2FloodNames();
  const auto found = std::find(names.begin(), names.end(), what);
  if (found != names.end()) {
    parts_.metrics.Increment(parts_.standard_metrics.http2_floods.At(
        static_cast<metrics::Http2Flood>(found - names.begin())));
  }
  parts_.log.Warn("http2_flood").Str("peer", peer).Str("what", what);
}

}  // namespace outrigger::server
