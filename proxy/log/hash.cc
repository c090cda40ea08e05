#include "proxy/log/hash.h"

#include <fmt/format.h>
#include <openssl/sha.h>

namespace outrigger::log {

std::string HashForLog(std::string_view value) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(value.data()), value.size(), digest);
  return fmt::format("{:02x}", fmt::join(digest, digest + 8, ""));
}

}  // namespace outrigger::log
