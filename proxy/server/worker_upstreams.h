// The upstreams of one worker, for the configuration in use and for those that streams still hold.
//
//   WorkerUpstreams upstreams(parts);
//   upstreams.Adopt(*config, tls);                 // one that has not changed keeps its
//   connections std::unique_ptr<chain::Filter> end = upstreams.NewRouter("app");
//   upstreams.Observe();                           // once a second, for the gauges
//
// Every router shares the ownership of its upstream, so that an upstream lives as long as a chain
// that leads to it: a stream that began under an earlier configuration ends where it began. One
// worker; an upstream is destroyed with its last router, which must happen from the loop.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/chain/filter.h"
#include "proxy/chain/shared_state.h"
#include "proxy/config/config.h"
#include "proxy/event/event_loop.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"
#include "proxy/net/resolver.h"
#include "proxy/server/handshake_reporter.h"
#include "proxy/server/tls_contexts.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::server {

class WorkerUpstreams {
 public:
  // Of the worker; outlives its upstreams.
  struct Parts {
    EventLoop& loop;
    net::BufferPool& pool;
    Random& random;
    metrics::Registry& registry;
    metrics::WorkerMetrics& metrics;
    metrics::StandardMetrics& standard_metrics;
    log::Logger& log;
    chain::SharedState& shared;
    HandshakeReporters& handshakes;
    std::string_view via_name;
  };

  explicit WorkerUpstreams(const Parts& parts);
  ~WorkerUpstreams();
  WorkerUpstreams(const WorkerUpstreams&) = delete;
  WorkerUpstreams& operator=(const WorkerUpstreams&) = delete;

  void Adopt(const config::Config& config, const TlsSet& tls);
  // REQUIRES: the configuration has an upstream of this name.
  std::unique_ptr<chain::Filter> NewRouter(const std::string& name) const;
  void Observe();

 private:
  struct Service;

  // `before` is the one of the same name whose place it takes; null: there was none.
  std::shared_ptr<Service> Make(const config::UpstreamConfig& config,
                                std::shared_ptr<const tls::ClientContext> tls,
                                const Service* before);
  void WatchNames(Service& service);
  void ObserveEjections(const upstream::Upstream& upstream);

  const Parts& parts_;
  std::unique_ptr<net::Resolver> resolver_;  // made when a name is configured
  std::map<std::string, std::shared_ptr<Service>> services_;
  std::vector<std::weak_ptr<Service>> retired_;
  // By upstream and endpoint, of all that there ever were: those that are gone are at 0.
  std::map<std::string, std::map<std::string, metrics::GaugeId>> gauges_;
};

}  // namespace outrigger::server
