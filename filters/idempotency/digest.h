// SHA-256 over bytes that arrive in pieces.
//
//   Sha256 hash;
//   hash.Update(first);
//   hash.Update(second);
//   Sha256::Value value = hash.Finish();
//
// The OpenSSL context behind it comes from a per-thread list and goes back there, because making
// one costs more than hashing a short request. A hash may be destroyed, moved and finished on
// another thread than the one that made it, but is used by one at a time. OpenSSL can only fail
// here for want of memory, which ends the process.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

struct evp_md_ctx_st;

namespace outrigger::idempotency {

class Sha256 {
 public:
  static constexpr size_t kBytes = 32;
  using Value = std::array<uint8_t, kBytes>;

  Sha256();
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(Sha256&&) noexcept = default;

  // A hash that goes on from where `other` stands; `other` is only read, so that several threads
  // may do this at once.
  static Sha256 From(const Sha256& other);

  void Update(std::string_view bytes);
  // REQUIRES: not called before.
  Value Finish();

 private:
  struct GiveBack {
    void operator()(evp_md_ctx_st* context) const;
  };
  struct NoInit {};
  explicit Sha256(NoInit);

  std::unique_ptr<evp_md_ctx_st, GiveBack> context_;
};

// `value` as eight bytes, least significant first: the length prefix of everything hashed here.
std::array<char, 8> LittleEndian(uint64_t value);
inline std::string_view View(const std::array<char, 8>& bytes) {
  return {bytes.data(), bytes.size()};
}

}  // namespace outrigger::idempotency
