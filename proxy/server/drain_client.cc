#include "proxy/server/drain_client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "proxy/net/address.h"

namespace outrigger::server {
namespace {

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

}  // namespace

absl::Status RequestDrain(const DrainRequest& request) {
  absl::StatusOr<net::Endpoint> endpoint = net::ParseEndpoint(request.admin);
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->needs_resolving()) {
    return absl::InvalidArgumentError("the admin address must be numeric");
  }
  const File file(socket(endpoint->address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (file.get() < 0 ||
      connect(file.get(), endpoint->address.get(), endpoint->address.length()) != 0) {
    return SystemError("reach the admin port at", request.admin);
  }
  std::string query = request.wait ? "?wait" : "";
  if (request.timeout != absl::InfiniteDuration()) {
    query += fmt::format("{}timeout={}ms", query.empty() ? "?" : "&",
                         absl::ToInt64Milliseconds(request.timeout));
  }
  const std::string text = fmt::format(
      "POST /drain{} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", query,
      request.admin);
  if (send(file.get(), text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size())) {
    return SystemError("write to", request.admin);
  }
  std::string answer;
  char buffer[1024];
  ssize_t count = 0;
  while ((count = recv(file.get(), buffer, sizeof buffer, 0)) > 0) {
    answer.append(buffer, static_cast<size_t>(count));
  }
  if (answer.empty() && request.wait) return absl::OkStatus();
  if (!answer.starts_with("HTTP/1.1 2")) {
    return absl::UnavailableError(
        fmt::format("{} answered: {}", request.admin, answer.substr(0, answer.find("\r\n"))));
  }
  return absl::OkStatus();
}

}  // namespace outrigger::server
