// `outrigger injector`: the mutating admission webhook for clusters that have no
// MutatingAdmissionPolicy (K8-1 c). The API server sends it each new pod that its configuration
// selects, and it answers with the sidecar.
//
//   absl::StatusOr<std::unique_ptr<Injector>> injector = Injector::Start(settings);
//   if (!injector.ok()) ...
//   return (*injector)->Run();                   // until SIGTERM; the exit code
//
// The certificate comes from files, which are loaded again when they change, or is made by the
// process itself (certificate_keeper.h). SIGTERM and SIGINT: not ready, but serving for five more
// seconds, while the cluster learns of it; then what runs is finished. A second signal ends at
// once. Everything runs on the thread that calls Run().

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/coro/task_scope.h"
#include "proxy/event/event_loop.h"
#include "proxy/inject/pod.h"
#include "proxy/injector/api_client.h"
#include "proxy/injector/certificate_keeper.h"
#include "proxy/injector/injector_metrics.h"
#include "proxy/injector/server.h"
#include "proxy/injector/webhook.h"
#include "proxy/server/drain.h"

namespace outrigger::injector {

struct Settings {
  std::string listen = "0.0.0.0:8443";
  std::string definition;  // a file of the sidecar's definition; empty: the one that is compiled in
  // A certificate from files ...
  std::string cert;
  std::string key;
  // ... or of its own, for these names, of which this MutatingWebhookConfiguration is told.
  std::string configuration;
  std::vector<std::string> dns;
  absl::Duration lifetime = absl::Hours(24 * 30);
  std::string replica;  // empty: the host's name
  std::string service_account = "/var/run/secrets/kubernetes.io/serviceaccount";
};

class Injector {
 public:
  // Errors: what is wrong with the settings, the files, the address or the surroundings.
  static absl::StatusOr<std::unique_ptr<Injector>> Start(const Settings& settings);
  ~Injector();
  Injector(const Injector&) = delete;
  Injector& operator=(const Injector&) = delete;

  int Run();

 private:
  class SignalEvent;
  class FileWatch;

  explicit Injector(const Settings& settings);
  absl::Status ReadDefinition();
  absl::Status BeginCertificate();
  std::string Problem() const;
  void LoadChangedFiles();
  void OnSignal(int number);

  const Settings settings_;
  EventLoop loop_;
  MemoryBudget budget_;
  net::BufferPool pool_;
  log::LogService logs_;
  tls::ServerContext tls_;
  InjectorMetrics metrics_;
  std::optional<inject::Json> definition_;
  std::unique_ptr<Webhook> webhook_;
  std::unique_ptr<ApiClient> api_;
  std::unique_ptr<CertificateKeeper> keeper_;
  std::unique_ptr<FileWatch> watch_;
  std::unique_ptr<Server> server_;
  net::SocketAddress address_;
  std::unique_ptr<server::Drain> drain_;
  std::vector<std::unique_ptr<SignalEvent>> signals_;
  TaskScope tasks_;
};

}  // namespace outrigger::injector
