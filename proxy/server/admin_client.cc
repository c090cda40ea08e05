#include "proxy/server/admin_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "proxy/net/address.h"

namespace outrigger::server {
namespace {

// Between two looks at a proxy that starts, which takes it some milliseconds.
constexpr absl::Duration kPoll = absl::Milliseconds(20);
// For one look: the admin thread answers at once or is in trouble.
constexpr absl::Duration kLook = absl::Seconds(3);

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status SystemError(const char* what, const std::string& address) {
  return absl::UnavailableError(
      fmt::format("cannot {} {}: {}", what, address, std::strerror(errno)));
}

absl::StatusOr<net::Endpoint> ParseAdmin(const std::string& admin) {
  absl::StatusOr<net::Endpoint> endpoint = net::ParseEndpoint(admin);
  if (endpoint.ok() && endpoint->needs_resolving()) {
    return absl::InvalidArgumentError("the admin address must be numeric");
  }
  return endpoint;
}

// Sends a request without a body and returns what comes until the proxy closes, which may be
// nothing. Each step may take `patience`; infinite: for ever.
absl::StatusOr<std::string> Ask(const std::string& admin, std::string_view request_line,
                                absl::Duration patience) {
  const absl::StatusOr<net::Endpoint> endpoint = ParseAdmin(admin);
  if (!endpoint.ok()) return endpoint.status();
  const File file(socket(endpoint->address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (file.get() >= 0 && patience != absl::InfiniteDuration()) {
    const timeval limit = absl::ToTimeval(patience);
    setsockopt(file.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(file.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // of connect() too
  }
  if (file.get() < 0 ||
      connect(file.get(), endpoint->address.get(), endpoint->address.length()) != 0) {
    return SystemError("reach the admin port at", admin);
  }
  const std::string text =
      fmt::format("{} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                  request_line, admin);
  if (send(file.get(), text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size())) {
    return SystemError("write to", admin);
  }
  std::string answer;
  char buffer[1024];
  ssize_t count = 0;
  while ((count = recv(file.get(), buffer, sizeof buffer, 0)) > 0) {
    answer.append(buffer, static_cast<size_t>(count));
  }
  return answer;
}

absl::Status StatusOf(const std::string& admin, const std::string& answer) {
  if (answer.starts_with("HTTP/1.1 2")) return absl::OkStatus();
  return absl::UnavailableError(
      answer.empty()
          ? fmt::format("{} did not answer", admin)
          : fmt::format("{} answered: {}", admin, answer.substr(0, answer.find("\r\n"))));
}

}  // namespace

absl::Status RequestDrain(const DrainRequest& request) {
  std::string query = request.wait ? "?wait" : "";
  if (request.timeout != absl::InfiniteDuration()) {
    query += fmt::format("{}timeout={}ms", query.empty() ? "?" : "&",
                         absl::ToInt64Milliseconds(request.timeout));
  }
  const absl::StatusOr<std::string> answer =
      Ask(request.admin, fmt::format("POST /drain{}", query), absl::InfiniteDuration());
  if (!answer.ok()) return answer.status();
  if (answer->empty() && request.wait) return absl::OkStatus();
  return StatusOf(request.admin, *answer);
}

absl::Status AwaitStart(const StartRequest& request) {
  if (const auto endpoint = ParseAdmin(request.admin); !endpoint.ok()) return endpoint.status();
  const absl::Time end = absl::Now() + request.timeout;
  while (true) {
    const absl::Duration left = std::max(end - absl::Now(), kPoll);
    const absl::StatusOr<std::string> answer =
        Ask(request.admin, "GET /startupz", std::min(left, kLook));
    const absl::Status status = answer.ok() ? StatusOf(request.admin, *answer) : answer.status();
    if (status.ok()) return status;
    if (absl::Now() + kPoll >= end) {
      return absl::DeadlineExceededError(
          fmt::format("not started within {}: {}", absl::FormatDuration(request.timeout),
                      std::string_view(status.message().data(), status.message().size())));
    }
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(kPoll));
  }
}

}  // namespace outrigger::server
