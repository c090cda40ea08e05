#include "filters/idempotency/store_key.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace outrigger::idempotency {
namespace {

// SHA-256's block size, to which HMAC pads its key.
constexpr size_t kBlockBytes = 64;
constexpr size_t kSecretBytes = 32;

std::string_view AsText(const Sha256::Value& value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

void UpdatePadded(Sha256& hash, std::string_view secret, unsigned char pad) {
  std::array<char, kBlockBytes> block;
  block.fill(static_cast<char>(pad));
  for (size_t i = 0; i < secret.size(); ++i) block[i] = static_cast<char>(block[i] ^ secret[i]);
  hash.Update({block.data(), block.size()});
}

}  // namespace

uint64_t StoreKey::prefix() const {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(value); ++i) value = value << 8 | bytes[i];
  return value;
}

std::string StoreKey::Hash() const { return FormatHash(prefix()); }

std::string FormatHash(uint64_t prefix) { return fmt::format("{:016x}", prefix); }

std::optional<uint64_t> ParseHash(std::string_view text) {
  if (text.size() != 16) return std::nullopt;
  uint64_t value = 0;
  for (char c : text) {
    unsigned digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<unsigned>(c - 'A' + 10);
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

StoreKeyMaker::StoreKeyMaker(std::string_view secret) {
  Sha256::Value hashed;
  if (secret.size() > kBlockBytes) {
    Sha256 hash;
    hash.Update(secret);
    hashed = hash.Finish();
    secret = AsText(hashed);
  }
  UpdatePadded(inner_, secret, 0x36);
  UpdatePadded(outer_, secret, 0x5c);
}

StoreKeyMaker StoreKeyMaker::WithRandomSecret() {
  std::array<unsigned char, kSecretBytes> secret;
  if (RAND_bytes(secret.data(), static_cast<int>(secret.size())) != 1) {
    std::fprintf(stderr, "idempotency: RAND_bytes failed\n");
    std::abort();
  }
  return StoreKeyMaker({reinterpret_cast<const char*>(secret.data()), secret.size()});
}

StoreKey StoreKeyMaker::Make(std::string_view tenant, std::string_view key) const {
  Sha256 inner = inner_;
  inner.Update(View(LittleEndian(tenant.size())));
  inner.Update(tenant);
  inner.Update(View(LittleEndian(key.size())));
  inner.Update(key);
  const Sha256::Value inner_value = inner.Finish();
  Sha256 outer = outer_;
  outer.Update(AsText(inner_value));
  return StoreKey{outer.Finish()};
}

}  // namespace outrigger::idempotency
