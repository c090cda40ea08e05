#include "proxy/config/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <array>

#include "absl/status/status.h"
#include "fmt/format.h"
#include "proxy/config/diagnostics.h"
#include "proxy/config/units.h"

namespace outrigger::config {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kMaxUnixPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr int64_t kMaxPort = 65535;

bool IsIp(int family, const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(family, host.c_str(), bytes.data()) == 1;
}

constexpr bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// RFC 1123, plus the underscore that service names in the wild contain.
bool IsDnsName(std::string_view name) {
  constexpr size_t kMaxName = 253;
  constexpr size_t kMaxLabel = 63;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kMaxName) return false;
  bool has_letter = false;
  while (true) {
    const std::string_view label = name.substr(0, name.find('.'));
    if (label.empty() || label.size() > kMaxLabel) return false;
    if (label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      if (!IsAlphanumeric(c) && c != '-' && c != '_') return false;
      has_letter |= c < '0' || c > '9';
    }
    if (label.size() == name.size()) break;
    name.remove_prefix(label.size() + 1);
  }
  // Digits and dots alone are a mistyped IPv4 address.
  return has_letter;
}

absl::Status Invalid(std::string message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<Address> ParseUnix(std::string_view path) {
  if (!path.starts_with('/')) {
    return Invalid(
        fmt::format("the path of a unix socket must be absolute: unix:/path, got {}", Quote(path)));
  }
  if (path.size() > kMaxUnixPath) {
    return Invalid(fmt::format("the path of a unix socket has at most {} bytes, this one has {}",
                               kMaxUnixPath, path.size()));
  }
  Address address;
  address.kind = Address::Kind::kUnix;
  address.path = path;
  return address;
}

}  // namespace

std::string Address::ToString() const {
  switch (kind) {
    case Kind::kUnix:
      return fmt::format("{}{}", kUnixPrefix, path);
    case Kind::kIpv6:
      return fmt::format("[{}]:{}", host, port);
    case Kind::kIpv4:
    case Kind::kName:
      break;
  }
  return fmt::format("{}:{}", host, port);
}

bool Address::IsLocal() const {
  switch (kind) {
    case Kind::kUnix:
      return true;
    case Kind::kIpv4:
      return host.starts_with("127.");
    case Kind::kIpv6:
      return host == "::1";
    case Kind::kName:
      break;
  }
  return host == "localhost";
}

absl::StatusOr<Address> ParseAddress(std::string_view text, AddressUse use) {
  if (text.starts_with(kUnixPrefix)) return ParseUnix(text.substr(kUnixPrefix.size()));

  const size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) {
    return Invalid(fmt::format("expected host:port, [v6]:port or unix:/path, got {}", Quote(text)));
  }
  const std::string_view port_text = text.substr(colon + 1);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (!bracketed && host.find(':') != host.npos) {
    return Invalid(fmt::format(
        "an IPv6 address needs brackets and a port, as in [::1]:8000, got {}", Quote(text)));
  }
  if (bracketed) host = host.substr(1, host.size() - 2);

  const absl::StatusOr<int64_t> port = ParseCount(port_text);
  const int64_t lowest = use == AddressUse::kListen ? 0 : 1;
  if (!port.ok() || *port < lowest || *port > kMaxPort) {
    return Invalid(fmt::format("the port must be a number from {} to {}, got {}", lowest, kMaxPort,
                               Quote(port_text)));
  }

  Address address;
  address.host = host;
  address.port = static_cast<uint16_t>(*port);
  if (bracketed) {
    address.kind = Address::Kind::kIpv6;
    if (IsIp(AF_INET6, address.host)) return address;
    return Invalid(fmt::format("{} is not an IPv6 address", Quote(host)));
  }
  if (IsIp(AF_INET, address.host)) return address;
  address.kind = Address::Kind::kName;
  if (!IsDnsName(host)) {
    return Invalid(fmt::format("{} is neither an IP address nor a host name", Quote(host)));
  }
  if (use == AddressUse::kListen && host != "localhost") {
    return Invalid(
        fmt::format("listen on an IP address, for example 0.0.0.0 or 127.0.0.1, not on the name {}",
                    Quote(host)));
  }
  return address;
}

}  // namespace outrigger::config
