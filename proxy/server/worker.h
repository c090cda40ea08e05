// One worker: a thread with one event loop, its listeners' sockets, connections, upstreams, chains.
//
//   Worker worker(0, process);
//   worker.Adopt({.config = config, ...});                 // the first configuration
//   worker.Start();
//   worker.AdoptLater({.config = changed, ...}, done);     // a reload
//   worker.BeginDrain();  worker.Stop();  worker.Join();
//
// Workers share nothing mutable but SharedState. The public calls are made by the main thread;
// those that touch a running worker post a message to its loop.
//
// A reload is one message: in the turn that it runs in, every listener gets the new chains, so that
// a request is served by one configuration or by the other. What ran before holds the snapshot that
// it began with. A listener that is no longer configured drains: it accepts no more, its answers
// are the last of their connections, and after the lame duck its idle connections are closed.

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "proxy/chain/chain_builder.h"
#include "proxy/server/handshake_reporter.h"
#include "proxy/server/listener_set.h"
#include "proxy/server/tls_contexts.h"
#include "proxy/server/worker_listener.h"
#include "proxy/server/worker_upstreams.h"

namespace outrigger::server {

// Of the process; outlives the workers.
struct ProcessParts {
  chain::SharedState& shared;
  metrics::Registry& registry;
  metrics::StandardMetrics& standard_metrics;
  log::LogService& logs;
  std::string_view via_name;
  // Called on the worker's thread about once a second, and when it begins to run.
  std::function<void(int worker, MonoTime now)> on_tick;
};

// A configuration with all that it needs from outside: taking it over cannot fail.
struct WorkerConfig {
  std::shared_ptr<const config::Config> config;
  TlsSet tls;
  std::vector<ListenerOrigin> listeners;  // one for each of the configuration's
};

class Worker {
 public:
  Worker(int index, const ProcessParts& process);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // REQUIRES: before Start().
  void Adopt(WorkerConfig next);
  void Start();
  // `done` is called on the worker's thread.
  void AdoptLater(WorkerConfig next, std::function<void()> done);
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
  class Heartbeat;
  // On its way out, after a reload.
  struct Retired {
    std::unique_ptr<WorkerListener> listener;
    MonoTime drain_at;
    int idle_beats = 0;  // in a row
  };

  void AdoptListeners(WorkerConfig& next, std::shared_ptr<const chain::ChainSnapshot> snapshot);
  void LookAtRetired();
  template <class Visit>
  void ForEachListener(Visit visit);
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
  bool refuses_requests_ = false;
  std::atomic<int64_t> open_connections_{0};
  std::atomic<int64_t> active_requests_{0};
  std::atomic<bool> has_refused_{false};
  // Before the connections, which report to them.
  HandshakeReporters handshakes_;
  const WorkerUpstreams::Parts upstream_parts_;
  WorkerUpstreams upstreams_;
  // Keyed executions, which outlive their connections; before what their chains use.
  idempotency::ExecutionRuntime executions_;
  breaker::Probers probers_;  // used by the first worker alone
  const WorkerListener::Parts listener_parts_;
  std::vector<std::unique_ptr<WorkerListener>> listeners_;
  std::vector<Retired> retired_;
  std::unique_ptr<Heartbeat> heartbeat_;
  std::thread thread_;
};

}  // namespace outrigger::server
