// The admin port: probes, metrics and control on a thread of their own (HL-1, CF-6).
//
//   absl::StatusOr<std::unique_ptr<Server>> admin =
//       Server::Start("0.0.0.0:15020", health, backend, {});
//   admin.value()->SetAppChecks({{.name = "app", .endpoint = "127.0.0.1:8000", .path =
//   "/health"}});
//
// What is served stands in endpoints.h. The server is small on purpose: a bounded number of
// connections, of which the one idle for longest gives way to a newcomer so that nobody can keep
// the kubelet out, and a deadline on each step of each request.
//
// `health` and `backend` must outlive the server. All methods are thread-safe. The destructor stops
// the thread after replies that are complete have been sent, at most half a second later; answers
// that come after that are dropped.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/admin/app_check.h"
#include "proxy/admin/app_probes.h"
#include "proxy/admin/backend.h"
#include "proxy/admin/connection.h"
#include "proxy/admin/health.h"

namespace outrigger::admin {

class Server {
 public:
  struct Options {
    size_t max_connections = 64;
    Connection::Limits limits;
    std::vector<AppProbe> app_probes;
    // On the admin thread, after an app check changed its mind; for the log.
    AppChecker::OnChange on_app_change;
    AppChecker::OnInference on_inference;
    // On the admin thread, several times a second, once the health state was observed; for those
    // who pass it on.
    std::function<void(MonoTime now)> on_observe;
  };

  // `address`: IPv4:port or [IPv6]:port; port 0 picks a free one. An error names the address.
  static absl::StatusOr<std::unique_ptr<Server>> Start(std::string_view address,
                                                       HealthState& health, Backend& backend,
                                                       Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t bound_port() const { return bound_port_; }
  // Replaces the checks. One with the name and endpoint of an old one keeps what is known.
  void SetAppChecks(std::vector<AppCheckConfig> configs);
  // Checks at once, for a drain that wants to know whether the service has already gone.
  void CheckAppsNow();

 private:
  class Core;

  Server(std::unique_ptr<Core> core, uint16_t bound_port);

  std::unique_ptr<Core> core_;
  const uint16_t bound_port_;
};

}  // namespace outrigger::admin
