#include "proxy/server/worker_upstreams.h"

#include <utility>

#include "proxy/config/change.h"
#include "proxy/metrics/descriptors.h"
#include "proxy/upstream/name_watch.h"
#include "proxy/upstream/router.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::server {
namespace {

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

// What is known of endpoints that are names, so that nobody has to wait until they are asked for
// again.
void CopyAddresses(const upstream::Upstream& from, upstream::Upstream& to) {
  for (size_t i = 0; i < to.options().endpoints.size(); ++i) {
    const net::Endpoint& endpoint = to.options().endpoints[i].endpoint;
    for (size_t j = 0; endpoint.needs_resolving() && j < from.options().endpoints.size(); ++j) {
      const net::Endpoint& known = from.options().endpoints[j].endpoint;
      if (known.text == endpoint.text) to.SetAddresses(i, from.addresses(j));
    }
  }
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

struct WorkerUpstreams::Service {
  std::string settings;                           // that made it
  std::shared_ptr<const tls::ClientContext> tls;  // null: plain
  UpstreamTimes times;
  upstream::Upstream upstream;
  std::vector<std::unique_ptr<upstream::NameWatch>> watches;
};

WorkerUpstreams::WorkerUpstreams(const Parts& parts) : parts_(parts) {}
WorkerUpstreams::~WorkerUpstreams() = default;

void WorkerUpstreams::Adopt(const config::Config& config, const TlsSet& tls) {
  std::map<std::string, std::shared_ptr<Service>> before = std::exchange(services_, {});
  for (const config::UpstreamConfig& upstream : config.upstreams) {
    std::shared_ptr<const tls::ClientContext> context = tls.Upstream(upstream.name);
    std::shared_ptr<Service>& old = before[upstream.name];
    if (old != nullptr && old->tls == context &&
        old->settings == config::ConnectionSettingsOf(upstream)) {
      services_[upstream.name] = std::move(old);
    } else {
      services_[upstream.name] = Make(upstream, std::move(context), old.get());
    }
  }
  for (const auto& [name, old] : before) {
    if (old == nullptr) continue;
    // Who holds it goes on with the connections and addresses that it has.
    old->upstream.CloseIdle();
    old->watches.clear();
    retired_.push_back(old);
  }
}

std::shared_ptr<WorkerUpstreams::Service> WorkerUpstreams::Make(
    const config::UpstreamConfig& config, std::shared_ptr<const tls::ClientContext> tls,
    const Service* before) {
  upstream::UpstreamOptions options = ToOptions(config);
  if (tls != nullptr) {
    HandshakeReporter& reporter = parts_.handshakes.For(TlsContexts::kUpstream, config.name);
    for (size_t i = 0; i < options.endpoints.size(); ++i) {
      options.endpoints[i].new_session = [tls, &reporter, host = config.endpoints[i].host](int fd) {
        return tls->NewSession(fd, host, reporter);
      };
    }
  }
  auto service = std::shared_ptr<Service>(
      new Service{.settings = config::ConnectionSettingsOf(config),
                  .tls = std::move(tls),
                  .times = {parts_.metrics, parts_.standard_metrics.Upstream(config.name)},
                  .upstream = {parts_.loop, parts_.pool, parts_.random, std::move(options),
                               parts_.shared.Upstream(config.name)},
                  .watches = {}});
  if (before != nullptr) CopyAddresses(before->upstream, service->upstream);
  WatchNames(*service);
  return service;
}

void WorkerUpstreams::WatchNames(Service& service) {
  const std::vector<upstream::UpstreamOptions::EndpointOptions>& endpoints =
      service.upstream.options().endpoints;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const net::Endpoint& endpoint = endpoints[i].endpoint;
    if (!endpoint.needs_resolving()) continue;
    if (resolver_ == nullptr) resolver_ = std::make_unique<net::Resolver>(parts_.loop);
    service.watches.push_back(std::make_unique<upstream::NameWatch>(
        parts_.loop, *resolver_, service.upstream, i, endpoint,
        [this, name = endpoint.text](const absl::Status& status) {
          if (status.ok()) {
            parts_.log.Info("name_resolved").Str("endpoint", name);
          } else {
            parts_.log.Warn("name_failed")
                .Str("endpoint", name)
                .Str("error", std::string_view(status.message().data(), status.message().size()));
          }
        }));
  }
}

std::unique_ptr<chain::Filter> WorkerUpstreams::NewRouter(const std::string& name) const {
  const std::shared_ptr<Service>& service = services_.at(name);
  return std::make_unique<upstream::Router>(parts_.loop, service->upstream, &service->times,
                                            parts_.via_name, service);
}

// Once a second rather than at each change: a gauge is looked at every few seconds.
void WorkerUpstreams::Observe() {
  std::map<std::string, std::pair<size_t, size_t>> connections;  // active, idle
  const auto add = [&connections](const upstream::Upstream& upstream) {
    auto& [active, idle] = connections[upstream.name()];
    active += upstream.active_connections();
    idle += upstream.idle_connections();
  };
  std::erase_if(retired_, [&add](const std::weak_ptr<Service>& retired) {
    const std::shared_ptr<Service> service = retired.lock();
    if (service != nullptr) add(service->upstream);
    return service == nullptr;
  });
  for (const auto& [name, gauges] : gauges_) connections[name];
  for (const auto& [name, service] : services_) add(service->upstream);
  for (auto& [name, gauges] : gauges_) {
    if (services_.find(name) != services_.end()) continue;
    for (const auto& [endpoint, gauge] : gauges) parts_.metrics.Set(gauge, 0);
  }
  for (const auto& [name, service] : services_) ObserveEjections(service->upstream);
  for (const auto& [name, counts] : connections) {
    const metrics::UpstreamMetrics& ids = parts_.standard_metrics.Upstream(name);
    parts_.metrics.Set(ids.Connections(metrics::ConnectionState::kActive),
                       static_cast<int64_t>(counts.first));
    parts_.metrics.Set(ids.Connections(metrics::ConnectionState::kIdle),
                       static_cast<int64_t>(counts.second));
  }
}

void WorkerUpstreams::ObserveEjections(const upstream::Upstream& upstream) {
  std::map<std::string, int64_t> ejected;
  for (size_t i = 0; i < upstream.options().endpoints.size(); ++i) {
    ejected[upstream.options().endpoints[i].endpoint.text] = upstream.is_ejected(i) ? 1 : 0;
  }
  std::map<std::string, metrics::GaugeId>& gauges = gauges_[upstream.name()];
  for (const auto& [endpoint, value] : ejected) {
    if (gauges.find(endpoint) != gauges.end()) continue;
    gauges[endpoint] =
        parts_.registry.AddGauge(metrics::families::kUpstreamEjected, {upstream.name(), endpoint});
  }
  for (const auto& [endpoint, gauge] : gauges) {
    const auto found = ejected.find(endpoint);
    parts_.metrics.Set(gauge, found == ejected.end() ? 0 : found->second);
  }
}

}  // namespace outrigger::server
