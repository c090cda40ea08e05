// Field lines taken many at once are those taken one by one.

#include "proxy/http1/field_line.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/base/random.h"

namespace outrigger::http1 {
namespace {

constexpr uint64_t kSeed = 20260319;

std::string RandomText(Random& random, std::string_view alphabet, uint64_t max) {
  std::string text;
  for (uint64_t left = random.Below(max + 1); left > 0; --left) {
    text += alphabet[random.Below(alphabet.size())];
  }
  return text;
}

// Mostly right, of all lengths; sometimes with a byte that is not.
std::string RandomLines(Random& random) {
  std::string text;
  for (uint64_t lines = random.Below(12); lines > 0; --lines) {
    text += random.Below(3) == 0 ? "Accept" : "x" + RandomText(random, "abc-XYZ", 40);
    text += random.Below(2) == 0 ? ": " : ":\t ";
    text += RandomText(random, "abc: \t;=\x80", random.Below(2) == 0 ? 20 : 200);
    text += "\r\n";
  }
  text += RandomText(random, "a:\r\n", 6);
  if (!text.empty() && random.Below(4) == 0) {
    constexpr std::string_view kBad("\0\r\n\x7f :x", 7);
    text[random.Below(text.size())] = kBad[random.Below(kBad.size())];
  }
  return text;
}

TakenLines TakeOneByOne(std::string_view text, size_t max_fields, http::HeaderList& fields) {
  TakenLines taken;
  while (taken.fields < max_fields) {
    const std::string_view left = text.substr(taken.bytes);
    const size_t end = left.find("\r\n");
    if (end == std::string_view::npos || !ParseFieldLine(left.substr(0, end), fields).empty()) break;
    taken.bytes += end + 2;
    ++taken.fields;
  }
  return taken;
}

TEST(FieldLines, ManyAtOnceAreThoseOneByOne) {
  Random random(kSeed);
  uint64_t taken_fields = 0;
  for (int round = 0; round < 20000; ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", kSeed, round));
    const std::string text = RandomLines(random);
    // Of its exact size, so that a sanitizer sees a byte read behind it.
    const auto exact = std::make_unique<char[]>(text.size());
    std::memcpy(exact.get(), text.data(), text.size());
    const std::string_view view(exact.get(), text.size());
    const size_t max_fields = random.Below(20);
    http::HeaderList together;
    http::HeaderList apart;
    const TakenLines taken = TakeFieldLines(view, max_fields, together);
    const TakenLines expected = TakeOneByOne(view, max_fields, apart);
    ASSERT_EQ(taken.bytes, expected.bytes);
    ASSERT_EQ(taken.fields, expected.fields);
    ASSERT_EQ(together.size(), apart.size());
    for (size_t i = 0; i < together.size(); ++i) {
      ASSERT_EQ(together.data()[i].name, apart.data()[i].name);
      ASSERT_EQ(together.data()[i].value, apart.data()[i].value);
      ASSERT_EQ(together.data()[i].id, apart.data()[i].id);
    }
    taken_fields += taken.fields;
  }
  EXPECT_GT(taken_fields, 50'000u);
}

}  // namespace
}  // namespace outrigger::http1
