// The keys that session tickets are sealed with (RFC 5077, RFC 8446 4.6.1).
//
//   TicketKeys keys;
//   keys.Install(*ctx);
//
// They live in memory only and are replaced every twelve hours, so that what was recorded on the
// wire cannot be read with keys that are found later. A ticket is taken for as long again; after
// that, and after a reload, its holder makes a full handshake. Thread-safe; outlives the context's
// connections.

#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/time/time.h"

namespace outrigger::tls {

class TicketKeys {
 public:
  static constexpr absl::Duration kLifetime = absl::Hours(12);

  TicketKeys() = default;
  ~TicketKeys();
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;

  void Install(SSL_CTX& ctx);

  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;  // AES-256-CBC
    std::array<unsigned char, 32> mac;     // HMAC-SHA-256
    absl::Time made;
  };

  // For a new ticket. Nothing: the system has no randomness.
  std::optional<Key> Current(absl::Time now);
  // Of a ticket that was shown; nothing when it is not known (any more).
  std::optional<Key> Find(const unsigned char* name, absl::Time now);

 private:
  std::mutex mutex_;  // guards what follows
  std::optional<Key> current_;
  std::optional<Key> previous_;
};

}  // namespace outrigger::tls
