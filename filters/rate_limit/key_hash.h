// The 64-bit name of a bucket: SipHash-2-4 (Aumasson and Bernstein, 2012) over the parts of its
// key, with a secret of this process.
//
//   KeyHasher hasher(secret);
//   hasher.Add(tenant);
//   hasher.Add(route);
//   limiter.Acquire(hasher.Finish(), 1, now);
//
// Each part is preceded by its length, so that ("ab", "c") differs from ("a", "bc").
//
// Two keys with one hash share a bucket, which is stricter for both. Among 10,000 live keys that
// happens with a probability below 3·10^-12, and nobody who does not know the secret can aim for
// it. No allocation; a hasher belongs to one thread.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace outrigger::rate_limit {

struct HashSecret {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

class KeyHasher {
 public:
  explicit KeyHasher(HashSecret secret);

  void Add(std::string_view part);
  uint64_t Finish();

 private:
  std::array<uint64_t, 4> state_;
  uint64_t length_ = 0;
};

// SipHash-2-4 of plain bytes.
uint64_t SipHash(HashSecret secret, std::string_view bytes);

}  // namespace outrigger::rate_limit
