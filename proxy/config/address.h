// Where to listen or to connect: `host:port`, `[v6]:port` or `unix:/path`.
//
//   absl::StatusOr<Address> address = ParseAddress("127.0.0.1:8000", AddressUse::kConnect);
//
// Pure: a name is checked for its form and not resolved.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace outrigger::config {

struct Address {
  enum class Kind { kIpv4, kIpv6, kName, kUnix };

  Kind kind = Kind::kIpv4;
  std::string host;   // without brackets; empty for kUnix
  uint16_t port = 0;  // 0 asks the kernel for a free one and occurs only in addresses to listen on
  std::string path;   // of kUnix

  // The form that ParseAddress reads.
  std::string ToString() const;
  // On this machine, as far as the text tells: 127/8, ::1, localhost or a unix socket.
  bool IsLocal() const;

  friend bool operator==(const Address&, const Address&) = default;
};

enum class AddressUse {
  kListen,   // an IP address, localhost or a unix socket; port 0 is allowed
  kConnect,  // DNS names as well
};

absl::StatusOr<Address> ParseAddress(std::string_view text, AddressUse use);

}  // namespace outrigger::config
