// SHA-256 over bytes that arrive in pieces.
//
//   Sha256 hash;
//   hash.Update(first);
//   hash.Update(second);
//   Sha256::Value value = hash.Finish();
//
// A plain value: a copy goes on from where the original stands, so that what many hashes begin with
// is hashed once. Nothing is allocated and nothing can fail.
//
// It stands on OpenSSL's older interface, which 3.0 calls deprecated but keeps. The newer one wraps
// the same code in contexts of its own on the heap, whose handling costs more than to hash a short
// request (0.3 us of three short hashes).

#pragma once

#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace outrigger::idempotency {

class Sha256 {
 public:
  static constexpr size_t kBytes = SHA256_DIGEST_LENGTH;
  using Value = std::array<uint8_t, kBytes>;

  Sha256();

  void Update(std::string_view bytes);
  // REQUIRES: not called before.
  Value Finish();

 private:
  SHA256_CTX context_;
};

// `value` as eight bytes, least significant first: the length prefix of everything hashed here.
std::array<char, 8> LittleEndian(uint64_t value);
inline std::string_view View(const std::array<char, 8>& bytes) {
  return {bytes.data(), bytes.size()};
}

}  // namespace outrigger::idempotency
