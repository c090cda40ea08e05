// Where to listen: `127.0.0.1:8000`, `[::1]:0`, `unix:/run/app.sock`.

#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace outrigger::mock_ai {

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  bool is_unix() const { return storage.ss_family == AF_UNIX; }
  // As it was written, with the real port.
  std::string ToString() const;
};

// Numeric addresses only; no names are looked up.
absl::StatusOr<Address> ParseAddress(std::string_view text);

// A stream socket bound to the address, not listening yet: connections are refused. A unix socket
// replaces the file that is there. The caller owns the descriptor.
absl::StatusOr<int> BindSocket(const Address& address);

// The address that a socket got, for port 0.
absl::StatusOr<Address> LocalAddress(int fd);

}  // namespace outrigger::mock_ai
