// One question to the service, from the connect to the verdict, within one time limit that holds
// for everything, the look-up of a name included.
//
//   attempt = std::make_unique<CheckAttempt>(loop, dns, target, question, timeout,
//                                            [](CheckResult result) { ... });
//   attempt->Start();
//
// Without a question a connect is enough. The result is told once, possibly from within Start(),
// and not after the attempt was destroyed, which must not happen from within that call. What the
// service sends after it is read and dropped until the time limit.
//
// Belongs to the loop's thread and never blocks it.

#pragma once

#include <event2/bufferevent.h>
#include <event2/dns.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proxy/admin/app_health.h"
#include "proxy/admin/check_exchange.h"
#include "proxy/admin/connection.h"
#include "proxy/admin/loop.h"
#include "proxy/tls/client_context.h"

namespace outrigger::admin {

struct CheckTarget {
  std::string endpoint;                           // host:port, [v6]:port or unix:/path
  std::shared_ptr<const tls::ClientContext> tls;  // null: plain; used with a question only
  std::string tls_host;                           // of the endpoint, for `tls`

  bool is_unix() const { return endpoint.starts_with("unix:"); }
  // For Host and :authority.
  std::string authority() const { return is_unix() ? "localhost" : endpoint; }
};

// Looks names up, on the loop; made when the first name needs it.
class CheckDns {
 public:
  explicit CheckDns(Loop& loop) : loop_(loop) {}

  // Null: there is no usable name server.
  evdns_base* Get();

 private:
  struct Free {
    void operator()(evdns_base* dns) const { evdns_base_free(dns, /*fail_requests=*/0); }
  };

  Loop& loop_;
  std::unique_ptr<evdns_base, Free> dns_;
};

class CheckAttempt {
 public:
  using OnResult = std::function<void(CheckResult result)>;

  // `dns` and `target` outlive it.
  CheckAttempt(Loop& loop, CheckDns& dns, const CheckTarget& target,
               std::optional<CheckQuestion> question, absl::Duration timeout, OnResult on_result);
  CheckAttempt(const CheckAttempt&) = delete;
  CheckAttempt& operator=(const CheckAttempt&) = delete;

  void Start();
  // Started and without a result.
  bool is_running() const { return is_running_; }

 private:
  // Why the handshake failed.
  struct TlsNote final : tls::SessionObserver {
    void OnHandshake(tls::HandshakeOutcome, std::string_view detail, int) override {
      error = detail;
    }
    std::string error;
  };

  static void OnDeadline(evutil_socket_t fd, short what, void* self);
  static void OnEvent(bufferevent* bev, short what, void* self);

  absl::Status Connect();
  void OnConnected();
  void Finish(CheckOutcome outcome, std::string detail);

  Loop& loop_;
  CheckDns& dns_;
  const CheckTarget& target_;
  const std::optional<CheckQuestion> question_;
  const absl::Duration timeout_;
  const OnResult on_result_;
  EventPtr deadline_;
  BuffereventPtr connection_;  // until it is made
  TlsNote tls_note_;
  std::unique_ptr<CheckExchange> exchange_;
  bool is_running_ = false;
};

}  // namespace outrigger::admin
