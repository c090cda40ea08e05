// See digest.h.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "filters/idempotency/digest.h"

namespace outrigger::idempotency {

Sha256::Sha256() { SHA256_Init(&context_); }

void Sha256::Update(std::string_view bytes) {
  SHA256_Update(&context_, bytes.data(), bytes.size());
}

Sha256::Value Sha256::Finish() {
  Value value;
  SHA256_Final(value.data(), &context_);
  return value;
}

std::array<char, 8> LittleEndian(uint64_t value) {
  std::array<char, 8> bytes;
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  return bytes;
}

}  // namespace outrigger::idempotency
