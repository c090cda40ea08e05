#include "proxy/net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace outrigger::net {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

absl::Status Invalid(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("bad address \"{}\": {}", text, why));
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_';
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) : length_(length) {
  std::memcpy(&storage_, address, length);
}

absl::StatusOr<SocketAddress> SocketAddress::FromIp(std::string_view ip, uint16_t port) {
  const std::string text(ip);
  // inet_pton() would read no further than to a NUL.
  if (ip.find('\0') != std::string_view::npos) return Invalid(ip, "not a numeric address");
  sockaddr_in v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return SocketAddress(reinterpret_cast<sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return SocketAddress(reinterpret_cast<sockaddr*>(&v6), sizeof v6);
  }
  return Invalid(ip, "not a numeric address");
}

absl::StatusOr<SocketAddress> SocketAddress::FromUnixPath(std::string_view path) {
  sockaddr_un address{};
  if (path.empty() || path.front() != '/') return Invalid(path, "a unix path begins with '/'");
  if (path.size() >= sizeof address.sun_path) {
    return Invalid(path,
                   fmt::format("a unix path has at most {} bytes", sizeof address.sun_path - 1));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return SocketAddress(reinterpret_cast<sockaddr*>(&address), sizeof address);
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  }
  return 0;
}

bool SocketAddress::is_loopback() const {
  if (family() == AF_UNIX) return true;
  if (family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage_);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  if (family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage_);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) return v6->sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
  }
  return false;
}

std::string SocketAddress::HostText() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, text,
              sizeof text);
  } else if (family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage_);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
      inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    }
  } else {
    return "unix";
  }
  return text;
}

std::string SocketAddress::ToString() const {
  if (family() == AF_UNIX) {
    return fmt::format("unix:{}", reinterpret_cast<const sockaddr_un*>(&storage_)->sun_path);
  }
  if (family() == AF_INET6) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr, text,
              sizeof text);
    return fmt::format("[{}]:{}", text, port());
  }
  return fmt::format("{}:{}", HostText(), port());
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  Endpoint endpoint;
  endpoint.text = std::string(text);
  if (text.starts_with(kUnixPrefix)) {
    absl::StatusOr<SocketAddress> address =
        SocketAddress::FromUnixPath(text.substr(kUnixPrefix.size()));
    if (!address.ok()) return address.status();
    endpoint.address = *address;
    return endpoint;
  }

  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Invalid(text, "expected host:port or unix:/path");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number > 65535) {
    return Invalid(text, "the port is a number from 0 to 65535");
  }
  endpoint.port = static_cast<uint16_t>(number);

  const bool is_bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Invalid(text, "the host is missing");
  absl::StatusOr<SocketAddress> address = SocketAddress::FromIp(host, endpoint.port);
  if (address.ok() && (address->family() == AF_INET6 || !is_bracketed)) {
    if (!is_bracketed && address->family() == AF_INET6) {
      return Invalid(text, "an IPv6 address stands in brackets");
    }
    endpoint.address = *address;
    return endpoint;
  }
  if (is_bracketed) return Invalid(text, "not an IPv6 address");
  for (char c : host) {
    if (!IsNameCharacter(c)) return Invalid(text, "not a host name");
  }
  endpoint.host = std::string(host);
  return endpoint;
}

}  // namespace outrigger::net
