#include "filters/common/json_cursor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::common {
namespace {

std::vector<std::string> Keys(std::string_view text) {
  JsonCursor json(text);
  std::vector<std::string> keys;
  std::string_view key;
  if (!json.EnterObject()) return {"not an object"};
  while (json.NextKey(&key)) {
    keys.emplace_back(key);
    if (!json.SkipValue()) break;
  }
  if (json.has_failed()) keys.push_back("failed");
  return keys;
}

using Words = std::vector<std::string>;

TEST(JsonCursor, VisitsTheMembersOfAnObject) {
  EXPECT_EQ(Keys("{}"), Words{});
  EXPECT_EQ(Keys(" { \"a\" : 1 , \"b\":[{\"c\":\"}\"},[]],\"d\":null}"), (Words{"a", "b", "d"}));
  EXPECT_EQ(Keys(R"({"a":"\"}\\","b":-1.5e+3})"), (Words{"a", "b"}));
  EXPECT_EQ(Keys(R"({"a":"\\\"","b":true})"), (Words{"a", "b"}));
}

TEST(JsonCursor, FailsOnTextThatEndsTooEarly) {
  const std::string text = R"({"a":{"b":[1,"x\"y",{}]},"c":"d"})";
  for (size_t size = 0; size < text.size(); ++size) {
    const Words keys = Keys(text.substr(0, size));
    ASSERT_FALSE(keys.empty());
    EXPECT_TRUE(keys.back() == "failed" || keys.back() == "not an object") << size;
  }
  EXPECT_EQ(Keys(text), (Words{"a", "c"}));
}

TEST(JsonCursor, FailsOnBrokenStructure) {
  for (const std::string_view text : {"{\"a\" 1}", "{a:1}", "{\"a\":}", "{\"a\":1 \"b\":2}",
                                      "{\"a\":,}", "{\"a\":1,}", "{\"a\":\x01}"}) {
    EXPECT_EQ(Keys(text).back(), "failed") << text;
  }
}

TEST(JsonCursor, ReadsStringsAndIntegers) {
  JsonCursor json(R"(["x\"",12,-3,1.5,"",null])");
  std::string_view word;
  int64_t number = 0;
  ASSERT_TRUE(json.EnterArray());
  ASSERT_TRUE(json.NextElement());
  EXPECT_FALSE(json.ReadInteger(&number));
  ASSERT_TRUE(json.ReadString(&word));
  EXPECT_EQ(word, R"(x\")");
  ASSERT_TRUE(json.NextElement());
  ASSERT_TRUE(json.ReadInteger(&number));
  EXPECT_EQ(number, 12);
  ASSERT_TRUE(json.NextElement());
  ASSERT_TRUE(json.ReadInteger(&number));
  EXPECT_EQ(number, -3);
  ASSERT_TRUE(json.NextElement());
  EXPECT_FALSE(json.ReadInteger(&number));
  EXPECT_TRUE(json.SkipValue());
  ASSERT_TRUE(json.NextElement());
  EXPECT_TRUE(json.IsEmptyValue());
  EXPECT_TRUE(json.SkipValue());
  ASSERT_TRUE(json.NextElement());
  EXPECT_TRUE(json.IsEmptyValue());
  EXPECT_TRUE(json.SkipValue());
  EXPECT_FALSE(json.NextElement());
  EXPECT_FALSE(json.has_failed());
}

TEST(JsonCursor, KnowsEmptyValues) {
  for (const std::string_view text : {"null", "\"\"", "[]", "{}", "[ ]", "{\n}"}) {
    EXPECT_TRUE(JsonCursor(text).IsEmptyValue()) << text;
  }
  for (const std::string_view text :
       {"\"x\"", "0", "false", "[1]", "{\"a\":1}", "", "[", "\"\\\"\""}) {
    EXPECT_FALSE(JsonCursor(text).IsEmptyValue()) << text;
  }
}

TEST(JsonCursor, EndsOnAnyInput) {
  constexpr uint64_t kSeed = 20240611;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  constexpr std::string_view kAlphabet = "{}[]\",:\\ a1n-";
  for (int round = 0; round < 200000; ++round) {
    std::string text = "{";
    const uint64_t size = random.Below(24);
    for (uint64_t i = 0; i < size; ++i) text += kAlphabet[random.Below(kAlphabet.size())];
    const std::vector<char> bytes(text.begin(), text.end());  // exact size, for the sanitizer
    ASSERT_LE(Keys({bytes.data(), bytes.size()}).size(), text.size());
  }
}

}  // namespace
}  // namespace outrigger::common
