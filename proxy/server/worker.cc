#include "proxy/server/worker.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "filters/common/local_reply.h"
#include "proxy/chain/http_date.h"
#include "proxy/http1/server_connection.h"
#include "proxy/http2/server_connection.h"
#include "proxy/metrics/descriptors.h"

namespace outrigger::server {
namespace {

constexpr absl::Duration kLingerTimeout = absl::Seconds(2);
constexpr absl::Duration kHeartbeatPeriod = absl::Seconds(1);
// Of the idempotency keys whose time is over, besides those that requests expire in passing.
constexpr size_t kKeysSweptPerBeat = 1000;

uint64_t SeedOf(int index) {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32 | device()) + static_cast<uint64_t>(index);
}

upstream::UpstreamOptions ToOptions(const config::UpstreamConfig& config) {
  upstream::UpstreamOptions options;
  options.name = config.name;
  for (const config::Address& address : config.endpoints) {
    // The configuration has checked the form.
    options.endpoints.push_back(
        {net::ParseEndpoint(address.ToString()).value(), config.ConnectTimeout(address)});
  }
  if (config.protocol == config::UpstreamProtocol::kHttp2) {
    options.protocol = upstream::Protocol::kHttp2;
  }
  options.balance = config.balance == config::Balance::kRoundRobin
                        ? upstream::Balance::kRoundRobin
                        : upstream::Balance::kLeastRequest;
  options.max_requests = config.max_requests;
  options.keepalive_idle = config.keepalive.idle;
  options.keepalive_max = static_cast<size_t>(config.keepalive.max);
  return options;
}

class UpstreamTimes final : public upstream::RouterObserver {
 public:
  UpstreamTimes(metrics::WorkerMetrics& metrics, const metrics::UpstreamMetrics& ids)
      : metrics_(metrics), ids_(ids) {}

  void OnConnected(MonoTime started, MonoTime now) override {
    Observe(metrics::UpstreamPhase::kConnect, started, now);
  }
  void OnHead(MonoTime started, MonoTime now) override {
    Observe(metrics::UpstreamPhase::kHead, started, now);
  }
  void OnEnd(MonoTime started, MonoTime now) override {
    Observe(metrics::UpstreamPhase::kTotal, started, now);
  }

 private:
  void Observe(metrics::UpstreamPhase phase, MonoTime started, MonoTime now) {
    metrics_.ObserveNanos(ids_.Duration(phase), now.nanos() - started.nanos());
  }

  metrics::WorkerMetrics& metrics_;
  const metrics::UpstreamMetrics& ids_;
};

}  // namespace

// Makes a driver for each request, and the answers to heads that cannot be accepted.
class Worker::HandlerFactory final : public http::StreamHandlerFactory {
 public:
  HandlerFactory(Worker& worker, size_t listener)
      : context_{.loop = worker.loop_,
                 .metrics = worker.metrics_,
                 .standard_metrics = worker.process_.standard_metrics,
                 .log = worker.log_,
                 .identity = worker.identity_,
                 .budget = worker.process_.shared.memory(),
                 .snapshot = worker.snapshot_,
                 .listener = listener,
                 .via_name = worker.process_.via_name,
                 .is_draining = worker.is_draining_,
                 .refuses_requests = worker.refuses_requests_,
                 .active_requests = worker.active_requests_} {}

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
  bool refuses_requests() const { return context_.refuses_requests; }

 private:
  chain::DriverContext context_;
};

struct Worker::ListenerState final : http1::Http2Acceptor {
  ListenerState(Worker& worker, size_t index)
      : handlers(worker, index),
        http2_context{.listener = context,
                      .on_flood = [&worker](std::string_view peer, std::string_view what) {
                        worker.OnFlood(peer, what);
                      }} {}

  // http1::Http2Acceptor
  void Accept(http1::Http2Handover handover) override {
    auto* connection =
        new http2::ServerConnection(http2_context, handover.fd, std::move(handover.peer_host),
                                    std::move(handover.on_closed), std::move(handover.session));
    connections.PushBack(connection->membership);
    connection->Start(handover.received);
    // One that was in the middle of its handshake or preface when the drain began.
    if (handlers.refuses_requests()) connection->Drain();
  }

  HandlerFactory handlers;
  http1::ServerContext context;
  const tls::ServerContext* tls = nullptr;
  HandshakeReporter* handshakes = nullptr;  // with `tls`
  http2::ServerContext http2_context;
  config::ListenerProtocol protocol = config::ListenerProtocol::kAuto;
  std::unique_ptr<net::Listener> listener;
  IntrusiveList<http::DownstreamConnection::Membership> connections;
};

class Worker::Heartbeat final : public Timer {
 public:
  explicit Heartbeat(Worker& worker) : Timer(worker.loop_), worker_(worker) {}
  void Beat() { OnTimer(); }

 private:
  void OnTimer() override {
    worker_.process_.on_tick(worker_.index_, PreciseNow());
    worker_.process_.shared.keys().Sweep(loop().Now(), kKeysSweptPerBeat);
    worker_.LookAtUpstreams();
    Arm(loop().Now() + kHeartbeatPeriod);
  }

  Worker& worker_;
};

Worker::Worker(int index, const ProcessParts& process, std::shared_ptr<const config::Config> config)
    : index_(index),
      process_(process),
      random_(SeedOf(index)),
      pool_(process.shared.memory()),
      timeouts_(loop_),
      metrics_(process.registry.AddWorker()),
      refused_tenants_(process.registry, metrics_, metrics::families::kLimiterTenantRejections,
                       process.standard_metrics.tenants),
      log_(process.logs.NewLogger()),
      identity_(random_),
      executions_(loop_, process.shared.detached_executions()),
      probers_(loop_, random_, log_, metrics_, process.standard_metrics),
      heartbeat_(std::make_unique<Heartbeat>(*this)) {
  MakeUpstreams(*config);
  const chain::ChainParts parts{.loop = loop_,
                                .timeouts = timeouts_,
                                .random = random_,
                                .metrics = metrics_,
                                .standard_metrics = process_.standard_metrics,
                                .log = log_,
                                .shared = process_.shared,
                                .executions = executions_,
                                .new_router =
                                    [this](const std::string& upstream) {
                                      return std::make_unique<upstream::Router>(
                                          loop_, *upstreams_.at(upstream),
                                          router_observers_.at(upstream).get(), process_.via_name);
                                    },
                                .refused_tenants = &refused_tenants_,
                                // One for the whole process: probes are single-flight (BR-4).
                                .probers = index_ == 0 ? &probers_ : nullptr};
  snapshot_ = BuildChains(config, parts);
  for (size_t i = 0; i < config->listeners.size(); ++i) {
    const config::ListenerLimits& limits = config->listeners[i].limits;
    auto listener = std::make_unique<ListenerState>(*this, i);
    http1::ServerContext& context = listener->context;
    context.loop = &loop_;
    context.pool = &pool_;
    context.handlers = &listener->handlers;
    listener->protocol = config->listeners[i].protocol;
    if (listener->protocol == config::ListenerProtocol::kAuto) context.http2 = listener.get();
    context.head_limits.max_head_bytes = limits.headers;
    context.head_limits.max_fields = static_cast<size_t>(limits.header_count);
    context.max_body_bytes = limits.body;
    if (!limits.body_by_type.empty()) context.max_body_by_type = &limits.body_by_type;
    context.allow_half_close = config->listeners[i].half_close == config::HalfClose::kAllow;
    const std::vector<std::string>& upgrades = config->listeners[i].upgrades;
    if (!upgrades.empty()) context.upgrades = &upgrades;
    context.header_timeouts = &timeouts_.For(limits.header_timeout);
    context.body_idle_timeouts = &timeouts_.For(limits.body_idle_timeout);
    context.write_idle_timeouts = &timeouts_.For(limits.write_idle_timeout);
    context.idle_timeouts = &timeouts_.For(limits.idle_timeout);
    context.linger_timeouts = &timeouts_.For(kLingerTimeout);
    listener->tls = process_.tls.Listener(i);
    if (listener->tls != nullptr) {
      listener->handshakes =
          &NewHandshakeReporter(TlsContexts::kDownstream, config->listeners[i].name);
    }
    listeners_.push_back(std::move(listener));
  }
}

Worker::~Worker() {
  Join();
  probers_.Stop();
  // In the loop's absence: connections first, then whatever they handed to it.
  ForEachConnection([](http::DownstreamConnection& connection) { connection.CloseNow(); });
  loop_.RunPending();
}

HandshakeReporter& Worker::NewHandshakeReporter(std::string_view side, const std::string& name) {
  handshake_reporters_.push_back(
      std::make_unique<HandshakeReporter>(process_.registry, metrics_, log_, side, name));
  return *handshake_reporters_.back();
}

void Worker::UseTls(const config::UpstreamConfig& config, upstream::UpstreamOptions& options) {
  const tls::ClientContext* context = process_.tls.Upstream(config.name);
  if (context == nullptr) return;
  HandshakeReporter& reporter = NewHandshakeReporter(TlsContexts::kUpstream, config.name);
  for (size_t i = 0; i < options.endpoints.size(); ++i) {
    options.endpoints[i].new_session = [context, &reporter,
                                        host = config.endpoints[i].host](int fd) {
      return context->NewSession(fd, host, reporter);
    };
  }
}

void Worker::MakeUpstreams(const config::Config& config) {
  for (const config::UpstreamConfig& upstream : config.upstreams) {
    upstream::UpstreamOptions options = ToOptions(upstream);
    UseTls(upstream, options);
    upstreams_[upstream.name] = std::make_unique<upstream::Upstream>(
        loop_, pool_, random_, std::move(options), process_.shared.Upstream(upstream.name));
    router_observers_[upstream.name] = std::make_unique<UpstreamTimes>(
        metrics_, process_.standard_metrics.Upstream(upstream.name));
    for (const config::Address& endpoint : upstream.endpoints) {
      ejected_[upstream.name].push_back(process_.registry.AddGauge(
          metrics::families::kUpstreamEjected, {upstream.name, endpoint.ToString()}));
    }
    WatchNames(*upstreams_[upstream.name]);
  }
}

void Worker::WatchNames(upstream::Upstream& upstream) {
  const std::vector<upstream::UpstreamOptions::EndpointOptions>& endpoints =
      upstream.options().endpoints;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const net::Endpoint& endpoint = endpoints[i].endpoint;
    if (!endpoint.needs_resolving()) continue;
    if (resolver_ == nullptr) resolver_ = std::make_unique<net::Resolver>(loop_);
    name_watches_.push_back(std::make_unique<upstream::NameWatch>(
        loop_, *resolver_, upstream, i, endpoint,
        [this, name = endpoint.text](const absl::Status& status) {
          if (status.ok()) {
            log_.Info("name_resolved").Str("endpoint", name);
          } else {
            log_.Warn("name_failed")
                .Str("endpoint", name)
                .Str("error", std::string_view(status.message().data(), status.message().size()));
          }
        }));
  }
}

// Once a second rather than at each change: a gauge is looked at every few seconds.
void Worker::LookAtUpstreams() {
  for (const auto& [name, upstream] : upstreams_) {
    const metrics::UpstreamMetrics& ids = process_.standard_metrics.Upstream(name);
    metrics_.Set(ids.Connections(metrics::ConnectionState::kActive),
                 static_cast<int64_t>(upstream->active_connections()));
    metrics_.Set(ids.Connections(metrics::ConnectionState::kIdle),
                 static_cast<int64_t>(upstream->idle_connections()));
    const std::vector<metrics::GaugeId>& ejected = ejected_.at(name);
    for (size_t i = 0; i < ejected.size(); ++i) {
      metrics_.Set(ejected[i], upstream->is_ejected(i) ? 1 : 0);
    }
  }
}

void Worker::AddListener(size_t listener, int fd) {
  ListenerState& state = *listeners_[listener];
  state.listener = std::make_unique<net::Listener>(
      loop_, fd,
      net::Listener::Callbacks{.on_accept =
                                   [this, &state](int client, const net::SocketAddress& peer) {
                                     OnAccept(state, client, peer);
                                   },
                               .on_exhausted =
                                   [this](int error) {
                                     metrics_.Increment(process_.standard_metrics.accept_errors);
                                     log_.Error("accept_failed").Str("error", std::strerror(error));
                                   }});
}

void Worker::OnAccept(ListenerState& listener, int fd, const net::SocketAddress& peer) {
  std::unique_ptr<net::SecureSession> session;
  if (listener.tls != nullptr) session = listener.tls->NewSession(fd, *listener.handshakes);
  open_connections_.fetch_add(1, std::memory_order_relaxed);
  metrics_.Add(process_.standard_metrics.downstream_connections, 1);
  const auto on_closed = [this] {
    open_connections_.fetch_sub(1, std::memory_order_relaxed);
    metrics_.Add(process_.standard_metrics.downstream_connections, -1);
  };
  if (listener.protocol == config::ListenerProtocol::kHttp2) {
    listener.Accept({.fd = fd,
                     .session = std::move(session),
                     .peer_host = peer.HostText(),
                     .on_closed = on_closed});
    return;
  }
  auto* connection =
      new http1::ServerConnection(listener.context, fd, peer, on_closed, std::move(session));
  listener.connections.PushBack(connection->membership);
}

void Worker::OnFlood(std::string_view peer, std::string_view what) {
  const auto names = metrics::Http2FloodNames();
  const auto found = std::find(names.begin(), names.end(), what);
  if (found != names.end()) {
    metrics_.Increment(process_.standard_metrics.http2_floods.At(
        static_cast<metrics::Http2Flood>(found - names.begin())));
  }
  log_.Warn("http2_flood").Str("peer", peer).Str("what", what);
}

template <class Visit>
void Worker::ForEachConnection(Visit visit) {
  for (const std::unique_ptr<ListenerState>& listener : listeners_) {
    listener->connections.ForEach([&visit](http::DownstreamConnection::Membership& membership) {
      visit(membership.connection);
    });
  }
}

void Worker::Start() {
  thread_ = std::thread([this] {
    heartbeat_->Beat();
    loop_.Run();
  });
}

void Worker::BeginDrain() {
  loop_.Post([this] {
    is_draining_ = true;
    // The memory store dies with the process: nobody could ever ask for their answers (ID-12).
    executions_.CancelDetached();
    probers_.Stop();
    ForEachConnection([](http::DownstreamConnection& connection) { connection.AnnounceDrain(); });
  });
}

void Worker::RefuseNew() {
  loop_.Post([this] {
    is_draining_ = refuses_requests_ = true;
    for (const std::unique_ptr<ListenerState>& listener : listeners_) {
      if (listener->listener != nullptr) listener->listener->TakeRestAndClose();
    }
    ForEachConnection([](http::DownstreamConnection& connection) { connection.Drain(); });
    has_refused_.store(true, std::memory_order_release);
  });
}

void Worker::CloseAll() {
  loop_.Post([this] {
    ForEachConnection([](http::DownstreamConnection& connection) { connection.Shutdown(); });
  });
}

void Worker::Join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace outrigger::server
