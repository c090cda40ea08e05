#include "tools/mock-ai/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace outrigger::mock_ai {
namespace {

absl::Status Invalid(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("address \"{}\": {}", text, what));
}

absl::StatusOr<Address> ParseUnix(std::string_view text, std::string_view path) {
  Address address;
  auto* unix_address = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty() || path.size() >= sizeof(unix_address->sun_path)) {
    return Invalid(text, "the path is empty or too long");
  }
  unix_address->sun_family = AF_UNIX;
  std::memcpy(unix_address->sun_path, path.data(), path.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

}  // namespace

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  if (text.substr(0, 5) == "unix:") return ParseUnix(text, text.substr(5));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Invalid(text, "expected host:port or unix:path");
  uint16_t port = 0;
  const std::string_view digits = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
    return Invalid(text, "the port is not a number from 0 to 65535");
  }
  std::string host(text.substr(0, colon));
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  address = Address();
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
      address.size = sizeof(sockaddr_in6);
      return address;
    }
  }
  return Invalid(text, "the host is not an IPv4 address or an IPv6 address in brackets");
}

std::string Address::ToString() const {
  char host[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
    return fmt::format("{}:{}", host, ntohs(v4->sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    return fmt::format("[{}]:{}", host, ntohs(v6->sin6_port));
  }
  return fmt::format("unix:{}", reinterpret_cast<const sockaddr_un*>(&storage)->sun_path);
}

absl::StatusOr<int> BindSocket(const Address& address) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  if (address.is_unix()) {
    unlink(reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path);
  } else {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  }
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, "bind to " + address.ToString());
    close(fd);
    return status;
  }
  return fd;
}

absl::StatusOr<Address> LocalAddress(int fd) {
  Address address;
  address.size = sizeof(address.storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) {
    return absl::ErrnoToStatus(errno, "getsockname");
  }
  return address;
}

}  // namespace outrigger::mock_ai
