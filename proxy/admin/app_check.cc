#include "proxy/admin/app_check.h"

#include <errno.h>
#include <event2/util.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

namespace outrigger::admin {
namespace {

constexpr absl::Duration kIntervalBeforeFirstSuccess = absl::Milliseconds(500);
constexpr std::string_view kUnixPrefix = "unix:";

struct HostPort {
  std::string host;
  int port = 0;
};

std::optional<HostPort> SplitHostPort(std::string_view endpoint) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const std::string_view port_text = endpoint.substr(colon + 1);
  HostPort result;
  const char* end = port_text.data() + port_text.size();
  const auto [parsed, error] = std::from_chars(port_text.data(), end, result.port);
  if (error != std::errc() || parsed != end || result.port < 1 || result.port > 65535) {
    return std::nullopt;
  }
  result.host = endpoint.substr(0, colon);
  return result;
}

}  // namespace

AppChecker::AppChecker(Loop& loop, AppCheckConfig config, std::shared_ptr<AppHealth> health,
                       OnChange on_change)
    : loop_(loop),
      config_(std::move(config)),
      health_(std::move(health)),
      on_change_(std::move(on_change)),
      timer_(loop.NewTimer(OnTimer, this)),
      deadline_(loop.NewTimer(OnDeadline, this)),
      period_start_(PreciseNow()) {
  // Not from here: the caller has not stored us yet.
  const timeval now = ToDelay(absl::ZeroDuration());
  evtimer_add(timer_.get(), &now);
}

AppChecker::~AppChecker() {
  exchange_ = nullptr;
  connection_ = nullptr;
  dns_ = nullptr;
}

void AppChecker::OnTimer(evutil_socket_t, short, void* self) {
  auto& checker = *static_cast<AppChecker*>(self);
  // Armed first: a check that outlasts the interval must not be the last one.
  const absl::Duration interval =
      checker.health_->has_ever_succeeded()
          ? checker.config_.interval
          : std::min(checker.config_.interval, kIntervalBeforeFirstSuccess);
  const timeval next = ToDelay(interval);
  evtimer_add(checker.timer_.get(), &next);
  checker.CheckNow();
}

void AppChecker::CheckNow() {
  if (is_running_) return;
  is_running_ = true;
  const timeval timeout = ToDelay(config_.timeout);
  evtimer_add(deadline_.get(), &timeout);
  // libevent may have reported the error through OnEvent already.
  if (const absl::Status status = Connect(); !status.ok() && is_running_) {
    Finish(absl::IsUnavailable(status) ? CheckOutcome::kRefused : CheckOutcome::kError,
           std::string(status.message()));
  }
}

absl::Status AppChecker::Connect() {
  exchange_ = nullptr;
  connection_.reset(bufferevent_socket_new(loop_.base(), -1, BEV_OPT_CLOSE_ON_FREE));
  bufferevent_setcb(connection_.get(), nullptr, nullptr, OnEvent, this);

  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  int size = sizeof(storage);
  const std::string_view endpoint = config_.endpoint;
  if (endpoint.starts_with(kUnixPrefix)) {
    const std::string_view path = endpoint.substr(kUnixPrefix.size());
    auto* local = reinterpret_cast<sockaddr_un*>(&storage);
    if (path.empty() || path.size() >= sizeof(local->sun_path)) {
      return absl::InvalidArgumentError(fmt::format("{} is not a usable path", endpoint));
    }
    local->sun_family = AF_UNIX;
    path.copy(local->sun_path, path.size());
    size = sizeof(*local);
  } else if (evutil_parse_sockaddr_port(config_.endpoint.c_str(), address, &size) != 0) {
    const std::optional<HostPort> name = SplitHostPort(endpoint);
    if (!name.has_value()) {
      return absl::InvalidArgumentError(fmt::format("{} is not host:port", endpoint));
    }
    if (dns_ == nullptr) {
      dns_.reset(evdns_base_new(
          loop_.base(), EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE));
    }
    if (dns_ == nullptr) return absl::UnknownError("no usable name server");
    if (bufferevent_socket_connect_hostname(connection_.get(), dns_.get(), AF_UNSPEC,
                                            name->host.c_str(), name->port) != 0) {
      return absl::UnknownError(fmt::format("cannot look up {}", name->host));
    }
    return absl::OkStatus();
  }
  if (bufferevent_socket_connect(connection_.get(), address, size) != 0) {
    const int error = errno;
    const std::string text = fmt::format("connect to {}: {}", endpoint, strerror(error));
    const bool is_refused = error == ECONNREFUSED || error == ENOENT;
    return is_refused ? absl::UnavailableError(text) : absl::UnknownError(text);
  }
  return absl::OkStatus();
}

void AppChecker::OnConnected() {
  if (config_.path.empty() && !config_.grpc_service.has_value()) {
    Finish(CheckOutcome::kSuccess, "");
    connection_ = nullptr;
    return;
  }
  const int fd = bufferevent_getfd(connection_.get());
  bufferevent_setfd(connection_.get(), -1);
  connection_ = nullptr;
  const bool is_unix = config_.endpoint.starts_with(kUnixPrefix);
  std::unique_ptr<net::SecureSession> session;
  if (config_.tls != nullptr) session = config_.tls->NewSession(fd, config_.tls_host, tls_note_);
  exchange_ = std::make_unique<CheckExchange>(
      loop_.base(), fd, std::move(session),
      CheckQuestion{.path = config_.path,
                    .authority = is_unix ? "localhost" : config_.endpoint,
                    .is_http2 = config_.is_http2,
                    .grpc_service = config_.grpc_service},
      [this] { return tls_note_.error; },
      [this](CheckResult result) { Finish(result.outcome, std::move(result.detail)); });
}

void AppChecker::OnEvent(bufferevent* bev, short what, void* self) {
  auto& checker = *static_cast<AppChecker*>(self);
  if ((what & BEV_EVENT_CONNECTED) != 0) {
    checker.OnConnected();
    return;
  }
  const int error = EVUTIL_SOCKET_ERROR();
  const int dns_error = bufferevent_socket_get_dns_error(bev);
  if (checker.is_running_) {
    if (dns_error != 0) {
      checker.Finish(CheckOutcome::kError, fmt::format("{}: {}", checker.config_.endpoint,
                                                       evutil_gai_strerror(dns_error)));
    } else {
      const bool is_refused = error == ECONNREFUSED || error == ENOENT;
      checker.Finish(is_refused ? CheckOutcome::kRefused : CheckOutcome::kError,
                     fmt::format("{}: {}", checker.config_.endpoint, strerror(error)));
    }
  }
  checker.connection_ = nullptr;
}

void AppChecker::OnDeadline(evutil_socket_t, short, void* self) {
  auto& checker = *static_cast<AppChecker*>(self);
  if (checker.is_running_) {
    checker.Finish(CheckOutcome::kTimeout,
                   fmt::format("no answer in {}", absl::FormatDuration(checker.config_.timeout)));
  }
  checker.connection_ = nullptr;
  checker.exchange_ = nullptr;
}

void AppChecker::Finish(CheckOutcome outcome, std::string detail) {
  is_running_ = false;
  const MonoTime period_start = std::exchange(period_start_, PreciseNow());
  const bool is_upstream_alive =
      config_.last_upstream_byte && config_.last_upstream_byte() >= period_start;
  if (health_->Record({outcome, std::move(detail)}, is_upstream_alive) && on_change_) {
    on_change_(*health_);
  }
}

}  // namespace outrigger::admin
