#include "filters/rate_limit/key_hash.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace outrigger::rate_limit {
namespace {

// The key 00 01 .. 0f of the SipHash paper.
constexpr HashSecret kPaperKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

uint64_t HashOf(HashSecret secret, std::initializer_list<std::string_view> parts) {
  KeyHasher hasher(secret);
  for (const std::string_view part : parts) hasher.Add(part);
  return hasher.Finish();
}

TEST(SipHash, GivesTheValuesOfThePaper) {
  std::string input;
  for (char c = 0; c < 15; ++c) input.push_back(c);
  EXPECT_EQ(SipHash(kPaperKey, input), 0xa129ca6149be45e5u);
  EXPECT_EQ(SipHash(kPaperKey, ""), 0x726fdb47dd0e0e31u);
}

TEST(KeyHasher, IsSipHashOfLengthPrefixedPaddedParts) {
  // The hasher counts words where SipHash counts bytes. The two lengths agree modulo 256, which is
  // all that SipHash takes of them, for one part of 255 words behind the word of its length.
  const std::string long_part(255 * 8, 'x');
  std::string with_length(8, '\0');
  with_length[0] = static_cast<char>(long_part.size() & 0xff);
  with_length[1] = static_cast<char>(long_part.size() >> 8);
  EXPECT_EQ(HashOf(kPaperKey, {long_part}), SipHash(kPaperKey, with_length + long_part));
}

TEST(KeyHasher, TellsPartsApart) {
  const std::set<uint64_t> hashes = {
      HashOf(kPaperKey, {}),
      HashOf(kPaperKey, {""}),
      HashOf(kPaperKey, {"", ""}),
      HashOf(kPaperKey, {"abc"}),
      HashOf(kPaperKey, {"ab", "c"}),
      HashOf(kPaperKey, {"a", "bc"}),
      HashOf(kPaperKey, {"abc", ""}),
      HashOf(kPaperKey, {"", "abc"}),
      HashOf(kPaperKey, {"abc", std::string_view("\0", 1)}),
      HashOf(kPaperKey, {std::string_view("abc\0", 4)}),
      HashOf(kPaperKey, {"12345678"}),
      HashOf(kPaperKey, {std::string_view("12345678\0", 9)}),
  };
  EXPECT_EQ(hashes.size(), 12u);
}

TEST(KeyHasher, DependsOnTheSecret) {
  EXPECT_NE(HashOf({1, 2}, {"tenant"}), HashOf({1, 3}, {"tenant"}));
  EXPECT_NE(HashOf({1, 2}, {"tenant"}), HashOf({2, 2}, {"tenant"}));
}

}  // namespace
}  // namespace outrigger::rate_limit
