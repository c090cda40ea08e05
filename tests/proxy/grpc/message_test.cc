#include "proxy/grpc/message.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/base/random.h"
#include "proxy/http/headers.h"

namespace outrigger::grpc {
namespace {

// As clients read it.
std::string Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      decoded += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

TEST(GrpcMessage, EncodesWhatAFieldMustNotHold) {
  const struct {
    std::string_view text, encoded;
  } kCases[] = {
      {"", ""},
      {"all is well", "all is well"},
      {"100 % sure", "100 %25 sure"},
      {"a\r\nb", "a%0D%0Ab"},
      {"\t\ntest with whitespace\r\nand Unicode BMP \xE2\x98\xBA and non-BMP \xF0\x9F\x98\x88\t\n",
       "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP "
       "%F0%9F%98%88%09%0A"},
      {" a b ", "%20a b%20"},
      {" ", "%20"},
      {std::string_view("a\0b", 3), "a%00b"},
      {"\x7f~\x1f", "%7F~%1F"},
  };
  for (const auto& c : kCases) {
    Arena arena;
    EXPECT_EQ(EncodeMessage(c.text, arena), c.encoded);
  }
}

TEST(GrpcMessage, IsReadBackAndFitsIntoAField) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint64_t left = random.Below(30); left > 0; --left) {
      text += static_cast<char>(random.Below(3) == 0 ? ' ' : random.Below(256));
    }
    Arena arena;
    const std::string_view encoded = EncodeMessage(text, arena);
    ASSERT_EQ(Decode(encoded), text);
    ASSERT_EQ(http::TrimOws(encoded), encoded);
    for (const char c : encoded) ASSERT_TRUE(c >= ' ' && c <= '~');
  }
}

}  // namespace
}  // namespace outrigger::grpc
