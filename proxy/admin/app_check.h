// Asks the service behind the proxy, every few seconds, whether it is up (HL-5).
//
//   AppChecker checker(loop, {.name = "app", .endpoint = "127.0.0.1:8000", .path = "/health"},
//   health);
//
// With a path: GET over HTTP/1.1 or HTTP/2, with TLS where the service has it, and a status from
// 200 to 399 is success. With a service of gRPC: grpc.health.v1.Health says SERVING. Without both a
// connect is. Each check has one deadline for everything, the
// name's resolution included. Until the first success it asks twice a second, so that readiness
// does not lag behind a service that has just come up.
//
// Belongs to the loop's thread and never blocks it. Destroying it cancels the check that is
// running.

#pragma once

#include <event2/bufferevent.h>
#include <event2/dns.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/admin/app_health.h"
#include "proxy/admin/check_exchange.h"
#include "proxy/admin/connection.h"
#include "proxy/admin/loop.h"
#include "proxy/base/time.h"
#include "proxy/tls/client_context.h"

namespace outrigger::admin {

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
  AppHealth::Policy policy;
  // When the last byte of a response arrived from this upstream, for the rule about timeouts; may
  // be empty. Called on the admin thread.
  std::function<MonoTime()> last_upstream_byte;
};

class AppChecker {
 public:
  // Called after each change of health.is_healthy().
  using OnChange = std::function<void(const AppHealth& health)>;

  // The first check begins at once.
  AppChecker(Loop& loop, AppCheckConfig config, std::shared_ptr<AppHealth> health,
             OnChange on_change);
  ~AppChecker();
  AppChecker(const AppChecker&) = delete;
  AppChecker& operator=(const AppChecker&) = delete;

  // A check now; nothing when one is running.
  void CheckNow();
  const std::shared_ptr<AppHealth>& health() const { return health_; }
  const AppCheckConfig& config() const { return config_; }

 private:
  // Why the last handshake failed.
  struct TlsNote final : tls::SessionObserver {
    void OnHandshake(tls::HandshakeOutcome, std::string_view detail, int) override {
      error = detail;
    }
    std::string error;
  };

  static void OnTimer(evutil_socket_t fd, short what, void* self);
  static void OnDeadline(evutil_socket_t fd, short what, void* self);
  static void OnEvent(bufferevent* bev, short what, void* self);

  absl::Status Connect();
  void OnConnected();
  void Finish(CheckOutcome outcome, std::string detail);

  Loop& loop_;
  const AppCheckConfig config_;
  const std::shared_ptr<AppHealth> health_;
  const OnChange on_change_;
  EventPtr timer_;
  EventPtr deadline_;
  struct DnsFree {
    void operator()(evdns_base* dns) const { evdns_base_free(dns, /*fail_requests=*/0); }
  };
  std::unique_ptr<evdns_base, DnsFree> dns_;  // made when a name needs it
  BuffereventPtr connection_;                 // until it is made
  TlsNote tls_note_;
  std::unique_ptr<CheckExchange> exchange_;
  bool is_running_ = false;
  MonoTime period_start_;  // when the previous check ended
};

}  // namespace outrigger::admin
