// The name under which a request's record is kept (semantics ID-2): HMAC-SHA-256 over the tenant
// and the client's key, with a secret of this process. The client's key itself is never stored,
// logged or compared; without the secret nobody can tell from a stored key what it was made of.
//
//   const StoreKeyMaker maker = StoreKeyMaker::WithRandomSecret();   // once for the process
//   StoreKey key = maker.Make(tenant, parsed_key);
//   log(key.Hash());                                                 // 16 hexadecimal digits
//
// Tenant and key are length-prefixed, so that no tenant can spell another one's keys. Make() only
// reads the maker and may be called by all workers at once.

#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "filters/idempotency/digest.h"

namespace outrigger::idempotency {

struct StoreKey {
  Sha256::Value bytes{};

  // The first eight bytes: what logs, metrics and the admin interface call this key.
  uint64_t prefix() const;
  // The prefix in hexadecimal.
  std::string Hash() const;

  friend bool operator==(const StoreKey&, const StoreKey&) = default;
};

// The text of StoreKey::Hash for a prefix, and back; nothing when it is not 16 hexadecimal digits.
std::string FormatHash(uint64_t prefix);
std::optional<uint64_t> ParseHash(std::string_view text);

class StoreKeyMaker {
 public:
  explicit StoreKeyMaker(std::string_view secret);
  // 32 bytes of OpenSSL's random source; its failure ends the process, because a guessable secret
  // would let one tenant look for another one's keys.
  static StoreKeyMaker WithRandomSecret();

  StoreKey Make(std::string_view tenant, std::string_view key) const;

 private:
  // HMAC's two hashes (RFC 2104) after their first block, which depends on the secret alone.
  Sha256 inner_;
  Sha256 outer_;
};

}  // namespace outrigger::idempotency
