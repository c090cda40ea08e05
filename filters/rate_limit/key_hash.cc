#include "filters/rate_limit/key_hash.h"

#include <bit>
#include <cstring>

namespace outrigger::rate_limit {
namespace {

using Words = std::array<uint64_t, 4>;

Words Begin(HashSecret secret) {
  return {secret.k0 ^ 0x736f6d6570736575, secret.k1 ^ 0x646f72616e646f6d,
          secret.k0 ^ 0x6c7967656e657261, secret.k1 ^ 0x7465646279746573};
}

void Round(Words& v) {
  v[0] += v[1];
  v[1] = std::rotl(v[1], 13) ^ v[0];
  v[0] = std::rotl(v[0], 32);
  v[2] += v[3];
  v[3] = std::rotl(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = std::rotl(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = std::rotl(v[1], 17) ^ v[2];
  v[2] = std::rotl(v[2], 32);
}

void Absorb(Words& v, uint64_t word) {
  v[3] ^= word;
  Round(v);
  Round(v);
  v[0] ^= word;
}

// Up to eight bytes, little endian, the rest zero.
uint64_t LoadWord(std::string_view bytes) {
  uint64_t word = 0;
  if (std::endian::native == std::endian::little && bytes.size() >= 8) {
    std::memcpy(&word, bytes.data(), 8);
    return word;
  }
  for (size_t i = 0; i < bytes.size() && i < 8; ++i) {
    word |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return word;
}

uint64_t Close(Words v, uint64_t last_word) {
  Absorb(v, last_word);
  v[2] ^= 0xff;
  for (int i = 0; i < 4; ++i) Round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

}  // namespace

uint64_t SipHash(HashSecret secret, std::string_view bytes) {
  Words v = Begin(secret);
  const uint64_t length = bytes.size();
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) Absorb(v, LoadWord(bytes));
  return Close(v, LoadWord(bytes) | length << 56);
}

KeyHasher::KeyHasher(HashSecret secret) : state_(Begin(secret)) {}

void KeyHasher::Add(std::string_view part) {
  Absorb(state_, part.size());
  ++length_;
  for (; !part.empty(); part.remove_prefix(part.size() < 8 ? part.size() : 8)) {
    Absorb(state_, LoadWord(part));
    ++length_;
  }
}

uint64_t KeyHasher::Finish() { return Close(state_, length_ << 56); }

}  // namespace outrigger::rate_limit
