// The running proxy: workers, admin server, logs, metrics, and the way from start to the end of a
// drain.
//
//   absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(std::move(config), options);
//   if (!process.ok()) ...                       // port in use, no such address
//   return (*process)->Run();                    // until it was drained; the exit code
//
// Run() belongs to the main thread. SIGTERM and SIGINT begin a drain, a second one ends it at once
// (K8-4): readiness turns 503 and new requests are still served for the lame duck; then the
// listeners close, and streams have until the drain's timeout. When the service behind the proxy
// has gone and nothing is in flight, there is nobody to wait for (K8-3).

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "filters/breaker/transition_reporter.h"
#include "filters/idempotency/audit_log.h"
#include "proxy/admin/server.h"
#include "proxy/chain/shared_state.h"
#include "proxy/config/config.h"
#include "proxy/grpc_module/health_server.h"
#include "proxy/server/admin_backend.h"
#include "proxy/server/breaker_readiness.h"
#include "proxy/server/drain.h"
#include "proxy/server/tls_contexts.h"
#include "proxy/server/worker.h"

namespace outrigger::server {

class Process {
 public:
  struct Options {
    std::vector<admin::AppProbe> app_probes;
  };

  static absl::StatusOr<std::unique_ptr<Process>> Start(
      std::shared_ptr<const config::Config> config, Options options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int Run();

  // "127.0.0.1:15001", with the port that the system chose when 0 was asked for.
  std::vector<std::string> ListenerAddresses() const;
  uint16_t admin_port() const;

 private:
  class SignalEvent;

  Process(std::shared_ptr<const config::Config> config, std::unique_ptr<log::LogService> logs,
          std::unique_ptr<TlsContexts> tls);
  chain::SharedState::Options SharedOptions();
  absl::Status Bind();
  absl::Status StartAdmin(Options options);
  absl::Status StartGrpcHealth();
  void AddMetrics();
  void StartAppChecks();
  void OnTick(int worker, MonoTime now);
  void OnSignal(int number);

  const std::shared_ptr<const config::Config> config_;
  const std::string via_name_;
  const int worker_count_;
  EventLoop main_loop_;
  std::unique_ptr<log::LogService> logs_;
  const std::unique_ptr<TlsContexts> tls_;
  metrics::Registry registry_;
  metrics::StandardMetrics standard_metrics_;
  std::vector<metrics::CallbackHandle> callbacks_;
  idempotency::AuditLog audit_;
  breaker::TransitionReporter breaker_reporter_;
  chain::SharedState shared_;
  admin::HealthState health_;
  ProcessParts parts_;
  BreakerReadiness breaker_readiness_;
  std::vector<net::SocketAddress> addresses_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<AdminBackend> backend_;
  std::unique_ptr<GrpcHealthServer> grpc_health_;  // null unless configured
  std::unique_ptr<admin::Server> admin_;
  std::unique_ptr<Drain> drain_;
  std::vector<std::function<void()>> on_drained_;
  std::vector<std::unique_ptr<SignalEvent>> signals_;
};

}  // namespace outrigger::server
