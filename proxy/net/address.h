// Where to listen or connect: "127.0.0.1:8000", "[::1]:8000", "unix:/run/app.sock", "localhost:80".
//
//   absl::StatusOr<Endpoint> endpoint = ParseEndpoint("app.internal:8000");
//   if (endpoint->needs_resolving()) ...        // a name; see resolver.h
//   SocketAddress address = endpoint->address;
//
// Values; any thread.

#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace outrigger::net {

// A socket address of any family, IPv4, IPv6 or unix.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t length);

  // `ip` is numeric. Errors: InvalidArgument.
  static absl::StatusOr<SocketAddress> FromIp(std::string_view ip, uint16_t port);
  // `path` begins with '/'. Errors: InvalidArgument when it does not fit a sockaddr_un.
  static absl::StatusOr<SocketAddress> FromUnixPath(std::string_view path);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  int family() const { return storage_.ss_family; }
  uint16_t port() const;  // 0 for unix sockets
  bool is_unix() const { return family() == AF_UNIX; }
  // 127.0.0.0/8, ::1 (IPv4-mapped too) or a unix socket.
  bool is_loopback() const;
  // The host part alone: "127.0.0.1" (also when mapped into IPv6), "::1", "unix".
  std::string HostText() const;
  // As it is written in the configuration.
  std::string ToString() const;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

struct Endpoint {
  std::string text;  // as configured
  std::string host;  // the name, when it must be resolved
  uint16_t port = 0;
  SocketAddress address;  // set unless needs_resolving()

  bool needs_resolving() const { return !host.empty(); }
};

// Errors: InvalidArgument with the reason.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

}  // namespace outrigger::net
