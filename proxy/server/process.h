// The running proxy: workers, admin server, logs, metrics, and the way from start to the end of a
// drain.
//
//   absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(std::move(config), origin);
//   if (!process.ok()) ...                       // port in use, no such address
//   return (*process)->Run();                    // until it was drained; the exit code
//
// Run() belongs to the main thread. SIGTERM and SIGINT begin a drain, a second one ends it at once
// (K8-4): readiness turns 503 and new requests are still served for the lame duck; then the
// listeners close, and streams have until the drain's timeout. When the service behind the proxy
// has gone and nothing is in flight, there is nobody to wait for (K8-3).
//
// Until then the configuration is loaded again when its file changes and on SIGHUP
// (config_reloader). TakeOver() first does all that can fail, then tells every worker.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "filters/breaker/transition_reporter.h"
#include "filters/idempotency/audit_log.h"
#include "proxy/admin/server.h"
#include "proxy/chain/shared_state.h"
#include "proxy/config/config.h"
#include "proxy/grpc_module/health_server.h"
#include "proxy/server/admin_backend.h"
#include "proxy/server/app_checks.h"
#include "proxy/server/config_reloader.h"
#include "proxy/server/config_status.h"
#include "proxy/server/drain.h"
#include "proxy/server/file_watch.h"
#include "proxy/server/listener_set.h"
#include "proxy/server/signal_event.h"
#include "proxy/server/tls_contexts.h"
#include "proxy/server/worker.h"

namespace outrigger::server {

class Process {
 public:
  struct Options {
    std::vector<admin::AppProbe> app_probes;
  };

  static absl::StatusOr<std::unique_ptr<Process>> Start(
      std::shared_ptr<const config::Config> config, ConfigOrigin origin, Options options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int Run();

  // "127.0.0.1:15001", with the port that the system chose when 0 was asked for.
  std::vector<std::string> ListenerAddresses() const { return listener_set_.Addresses(); }
  uint16_t admin_port() const { return admin_->bound_port(); }

 private:
  // A configuration with its TLS and sockets, for each worker.
  struct Prepared {
    std::vector<WorkerConfig> for_worker;
    ListenerSet::Change listeners;
  };

  Process(std::shared_ptr<const config::Config> config, ConfigOrigin origin,
          std::unique_ptr<log::LogService> logs);
  static chain::SharedState::Limits LimitsOf(const config::Config& config);
  chain::SharedState::Options SharedOptions();
  // Errors: everything is as it was.
  absl::StatusOr<Prepared> Prepare(const std::shared_ptr<const config::Config>& next);
  absl::Status TakeOver(const std::shared_ptr<const config::Config>& next,
                        std::function<void()> done);
  // What is not the workers'.
  void Adopt(const std::shared_ptr<const config::Config>& next);
  void SetReadiness(const config::ReadinessConfig& readiness);
  void StartAppChecks() { admin_->SetAppChecks(MakeAppChecks(*config_, tls_set_, shared_)); }
  void WatchFiles();
  void AddMetrics();
  absl::Status StartAdmin(Options options);
  absl::Status StartGrpcHealth();
  void MakeDrain();
  void OnTick(int worker, MonoTime now);
  void OnEndSignal(int number);

  std::shared_ptr<const config::Config> config_;  // in use, or being taken over
  const ConfigOrigin origin_;
  const std::string via_name_;
  const int worker_count_;
  EventLoop main_loop_;
  std::unique_ptr<log::LogService> logs_;
  ConfigStatus status_;
  TlsContexts tls_;
  TlsSet tls_set_;  // of config_
  ListenerSet listener_set_;
  metrics::Registry registry_;
  metrics::StandardMetrics standard_metrics_;
  std::vector<metrics::CallbackHandle> callbacks_;
  idempotency::AuditLog audit_;
  breaker::TransitionReporter breaker_reporter_;
  chain::SharedState shared_;
  admin::HealthState health_;
  ProcessParts parts_;
  std::vector<std::unique_ptr<Worker>> workers_;
  size_t adopting_ = 0;  // workers that have yet to take a configuration over
  std::unique_ptr<AdminBackend> backend_;
  std::unique_ptr<GrpcHealthServer> grpc_health_;  // null unless configured
  std::unique_ptr<admin::Server> admin_;
  std::unique_ptr<Drain> drain_;
  std::vector<std::function<void()>> on_drained_;
  std::unique_ptr<ConfigReloader> reloader_;
  std::unique_ptr<FileWatch> watch_;
  std::vector<std::unique_ptr<SignalEvent>> signals_;
};

}  // namespace outrigger::server
