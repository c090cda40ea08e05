// Asks the service behind the proxy, every few seconds, whether it is up (HL-5).
//
//   AppChecker checker(loop, {.name = "app", .endpoint = "127.0.0.1:8000", .path = "/health"},
//   health);
//
// With a path: GET over HTTP/1.1 or HTTP/2, with TLS where the service has it, and a status from
// 200 to 399 is success. With a service of gRPC: grpc.health.v1.Health says SERVING. Without both a
// connect is. Until the first success it asks twice a second, so that readiness does not lag behind
// a service that has just come up.
//
// With an inference probe: as long as that is all that is missing (AppHealth), each check that
// passes is followed by one request for an inference, unless the last one is still under way. The
// checks go on meanwhile; when they make the service unhealthy, the request is given up.
//
// Belongs to the loop's thread and never blocks it. Destroying it cancels the check that is
// running.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proxy/admin/app_health.h"
#include "proxy/admin/check_attempt.h"
#include "proxy/admin/loop.h"
#include "proxy/base/time.h"
#include "proxy/tls/client_context.h"

namespace outrigger::admin {

struct InferenceProbe {
  std::string method = "POST";  // or GET, PUT
  std::string path;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  absl::Duration timeout = absl::Seconds(60);
};

struct AppCheckConfig {
  std::string name;      // of the upstream
  std::string endpoint;  // host:port, [v6]:port or unix:/path
  std::string path;      // empty: a connect is enough
  bool is_http2 = false;
  std::optional<std::string> grpc_service;        // instead of a path; see CheckQuestion
  std::shared_ptr<const tls::ClientContext> tls;  // null: plain; used with a path only
  std::string tls_host;                           // of the endpoint, for `tls`
  absl::Duration interval = absl::Seconds(5);
  absl::Duration timeout = absl::Seconds(2);
  std::optional<InferenceProbe> inference;  // if and only if the policy needs one
  AppHealth::Policy policy;
  // When the last byte of a response arrived from this upstream, for the rule about timeouts; may
  // be empty. Called on the admin thread.
  std::function<MonoTime()> last_upstream_byte;
};

class AppChecker {
 public:
  // Called after each change of health.is_healthy().
  using OnChange = std::function<void(const AppHealth& health)>;
  // Called after an inference probe whose result is not that of the one before.
  using OnInference = std::function<void(const AppHealth& health, const CheckResult& result)>;

  // The first check begins at once.
  AppChecker(Loop& loop, AppCheckConfig config, std::shared_ptr<AppHealth> health,
             OnChange on_change, OnInference on_inference = nullptr);
  AppChecker(const AppChecker&) = delete;
  AppChecker& operator=(const AppChecker&) = delete;

  // A check now; nothing when one is running.
  void CheckNow();
  const std::shared_ptr<AppHealth>& health() const { return health_; }
  const AppCheckConfig& config() const { return config_; }

 private:
  static void OnTimer(evutil_socket_t fd, short what, void* self);

  void OnChecked(CheckResult result);
  void InferNow();
  void OnInferred(const CheckResult& result);
  void Report(bool has_changed) const {
    if (has_changed && on_change_) on_change_(*health_);
  }

  Loop& loop_;
  const AppCheckConfig config_;
  const CheckTarget target_;
  const std::shared_ptr<AppHealth> health_;
  const OnChange on_change_;
  const OnInference on_inference_;
  EventPtr timer_;
  CheckDns dns_;
  std::unique_ptr<CheckAttempt> check_;      // the latest one
  std::unique_ptr<CheckAttempt> inference_;  // the latest one
  std::optional<std::string> last_inference_detail_;
  MonoTime period_start_;  // when the previous check ended
};

}  // namespace outrigger::admin
