// One worker: a thread with one event loop, its listeners' sockets, connections, upstreams, chains.
//
//   Worker worker(0, process, config);
//   worker.AddListener(0, fd);
//   worker.Start();
//   worker.Drain(...);  worker.Stop();  worker.Join();
//
// Workers share nothing mutable but SharedState. The public calls are made by the main thread;
// those that touch a running worker post a message to its loop.

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "proxy/chain/chain_builder.h"
#include "proxy/chain/stream_driver.h"
#include "proxy/http/downstream_connection.h"
#include "proxy/net/listener.h"
#include "proxy/server/handshake_reporter.h"
#include "proxy/server/tls_contexts.h"
#include "proxy/upstream/name_watch.h"
#include "proxy/upstream/router.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::server {

// Of the process; outlives the workers.
struct ProcessParts {
  chain::SharedState& shared;
  metrics::Registry& registry;
  metrics::StandardMetrics& standard_metrics;
  log::LogService& logs;
  std::string_view via_name;
  const TlsContexts& tls;
  // Called on the worker's thread about once a second, and when it begins to run.
  std::function<void(int worker, MonoTime now)> on_tick;
};

class Worker {
 public:
  Worker(int index, const ProcessParts& process, std::shared_ptr<const config::Config> config);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Takes `fd`, from net::Listener::Open(). REQUIRES: before Start().
  void AddListener(size_t listener, int fd);
  void Start();
  // Answers say `Connection: close`, idle connections are closed.
  void BeginDrain();
  // No new connections, new requests get 503 `draining`. Those whose client has connected or sent
  // them already are among the new ones.
  void RefuseNew();
  // Cuts what is left.
  void CloseAll();
  void Stop() { loop_.Stop(); }
  void Join();

  // Connections open now; any thread.
  int64_t open_connections() const { return open_connections_.load(std::memory_order_relaxed); }
  // Exchanges that have begun and not ended; any thread.
  int64_t active_requests() const { return active_requests_.load(std::memory_order_relaxed); }
  // RefuseNew() has been done; active_requests() of later calls counts all that came before. Any
  // thread.
  bool has_refused() const { return has_refused_.load(std::memory_order_acquire); }

 private:
  class HandlerFactory;
  struct ListenerState;
  class Heartbeat;

  HandshakeReporter& NewHandshakeReporter(std::string_view side, const std::string& name);
  void UseTls(const config::UpstreamConfig& config, upstream::UpstreamOptions& options);
  void MakeUpstreams(const config::Config& config);
  void WatchNames(upstream::Upstream& upstream);
  void LookAtUpstreams();
  void OnAccept(ListenerState& listener, int fd, const net::SocketAddress& peer);
  void OnFlood(std::string_view peer, std::string_view what);
  template <class Visit>
  void ForEachConnection(Visit visit);

  const int index_;
  const ProcessParts& process_;
  EventLoop loop_;
  Random random_;
  net::BufferPool pool_;
  DeadlineQueues timeouts_;
  metrics::WorkerMetrics& metrics_;
  metrics::LabelledCounter refused_tenants_;
  log::Logger& log_;
  chain::IdentityMaker identity_;
  // Before the connections, which report to them.
  std::vector<std::unique_ptr<HandshakeReporter>> handshake_reporters_;
  std::map<std::string, std::unique_ptr<upstream::Upstream>> upstreams_;
  std::map<std::string, std::unique_ptr<upstream::RouterObserver>> router_observers_;
  std::map<std::string, std::vector<metrics::GaugeId>> ejected_;  // by endpoint
  std::unique_ptr<net::Resolver> resolver_;                       // made when a name is configured
  std::vector<std::unique_ptr<upstream::NameWatch>> name_watches_;
  std::shared_ptr<const chain::ChainSnapshot> snapshot_;
  // Keyed executions, which outlive their connections; before what their chains use.
  idempotency::ExecutionRuntime executions_;
  breaker::Probers probers_;  // used by the first worker alone
  std::vector<std::unique_ptr<ListenerState>> listeners_;
  std::unique_ptr<Heartbeat> heartbeat_;
  bool is_draining_ = false;
  bool refuses_requests_ = false;
  std::atomic<int64_t> open_connections_{0};
  std::atomic<int64_t> active_requests_{0};
  std::atomic<bool> has_refused_{false};
  std::thread thread_;
};

}  // namespace outrigger::server
