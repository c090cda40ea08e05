#include "proxy/admin/check_attempt.h"

#include <errno.h>
#include <event2/util.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <string_view>
#include <utility>

namespace outrigger::admin {
namespace {

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

bool IsRefusal(int error) { return error == ECONNREFUSED || error == ENOENT; }

}  // namespace

evdns_base* CheckDns::Get() {
  if (dns_ == nullptr) {
    dns_.reset(evdns_base_new(
        loop_.base(), EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE));
  }
  return dns_.get();
}

CheckAttempt::CheckAttempt(Loop& loop, CheckDns& dns, const CheckTarget& target,
                           std::optional<CheckQuestion> question, absl::Duration timeout,
                           OnResult on_result)
    : loop_(loop),
      dns_(dns),
      target_(target),
      question_(std::move(question)),
      timeout_(timeout),
      on_result_(std::move(on_result)),
      deadline_(loop.NewTimer(OnDeadline, this)) {}

void CheckAttempt::Start() {
  is_running_ = true;
  const timeval timeout = ToDelay(timeout_);
  evtimer_add(deadline_.get(), &timeout);
  // libevent may have reported the error through OnEvent already.
  if (const absl::Status status = Connect(); !status.ok() && is_running_) {
    Finish(absl::IsUnavailable(status) ? CheckOutcome::kRefused : CheckOutcome::kError,
           std::string(status.message()));
  }
}

absl::Status CheckAttempt::Connect() {
  connection_.reset(bufferevent_socket_new(loop_.base(), -1, BEV_OPT_CLOSE_ON_FREE));
  bufferevent_setcb(connection_.get(), nullptr, nullptr, OnEvent, this);

  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  int size = sizeof(storage);
  const std::string_view endpoint = target_.endpoint;
  if (target_.is_unix()) {
    const std::string_view path = endpoint.substr(kUnixPrefix.size());
    auto* local = reinterpret_cast<sockaddr_un*>(&storage);
    if (path.empty() || path.size() >= sizeof(local->sun_path)) {
      return absl::InvalidArgumentError(fmt::format("{} is not a usable path", endpoint));
    }
    local->sun_family = AF_UNIX;
    path.copy(local->sun_path, path.size());
    size = sizeof(*local);
  } else if (evutil_parse_sockaddr_port(target_.endpoint.c_str(), address, &size) != 0) {
    const std::optional<HostPort> name = SplitHostPort(endpoint);
    if (!name.has_value()) {
      return absl::InvalidArgumentError(fmt::format("{} is not host:port", endpoint));
    }
    evdns_base* const dns = dns_.Get();
    if (dns == nullptr) return absl::UnknownError("no usable name server");
    if (bufferevent_socket_connect_hostname(connection_.get(), dns, AF_UNSPEC, name->host.c_str(),
                                            name->port) != 0) {
      return absl::UnknownError(fmt::format("cannot look up {}", name->host));
    }
    return absl::OkStatus();
  }
  if (bufferevent_socket_connect(connection_.get(), address, size) != 0) {
    const int error = errno;
    const std::string text = fmt::format("connect to {}: {}", endpoint, strerror(error));
    return IsRefusal(error) ? absl::UnavailableError(text) : absl::UnknownError(text);
  }
  return absl::OkStatus();
}

void CheckAttempt::OnConnected() {
  if (!question_.has_value()) {
    Finish(CheckOutcome::kSuccess, "");
    connection_ = nullptr;
    return;
  }
  const int fd = bufferevent_getfd(connection_.get());
  bufferevent_setfd(connection_.get(), -1);
  connection_ = nullptr;
  std::unique_ptr<net::SecureSession> session;
  if (target_.tls != nullptr) session = target_.tls->NewSession(fd, target_.tls_host, tls_note_);
  exchange_ = std::make_unique<CheckExchange>(
      loop_.base(), fd, std::move(session), *question_, [this] { return tls_note_.error; },
      [this](CheckResult result) { Finish(result.outcome, std::move(result.detail)); });
}

void CheckAttempt::OnEvent(bufferevent* bev, short what, void* self) {
  auto& attempt = *static_cast<CheckAttempt*>(self);
  if ((what & BEV_EVENT_CONNECTED) != 0) {
    attempt.OnConnected();
    return;
  }
  const int error = EVUTIL_SOCKET_ERROR();
  const int dns_error = bufferevent_socket_get_dns_error(bev);
  const std::string& endpoint = attempt.target_.endpoint;
  if (dns_error != 0) {
    attempt.Finish(CheckOutcome::kError,
                   fmt::format("{}: {}", endpoint, evutil_gai_strerror(dns_error)));
  } else {
    attempt.Finish(IsRefusal(error) ? CheckOutcome::kRefused : CheckOutcome::kError,
                   fmt::format("{}: {}", endpoint, strerror(error)));
  }
  attempt.connection_ = nullptr;
}

void CheckAttempt::OnDeadline(evutil_socket_t, short, void* self) {
  auto& attempt = *static_cast<CheckAttempt*>(self);
  attempt.Finish(CheckOutcome::kTimeout,
                 fmt::format("no answer in {}", absl::FormatDuration(attempt.timeout_)));
  attempt.connection_ = nullptr;
  attempt.exchange_ = nullptr;
}

void CheckAttempt::Finish(CheckOutcome outcome, std::string detail) {
  if (!std::exchange(is_running_, false)) return;
  on_result_({outcome, std::move(detail)});
}

}  // namespace outrigger::admin
