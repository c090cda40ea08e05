#include "proxy/log/line.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "proxy/base/random.h"

namespace outrigger::log {
namespace {

TEST(Line, WritesEachKindOfField) {
  Line line;
  line.Str("s", "a\"b").Int("i", -5).Uint("u", std::numeric_limits<uint64_t>::max());
  line.Float("f", 0.25).Float("nan", std::numeric_limits<double>::quiet_NaN()).Bool("b", true);
  EXPECT_EQ(line.Finish(),
            "{\"s\":\"a\\\"b\",\"i\":-5,\"u\":18446744073709551615,\"f\":0.25,\"nan\":null,"
            "\"b\":true}\n");
}

TEST(Line, IsAnEmptyObjectAtFirst) {
  Line line;
  EXPECT_EQ(line.Finish(), "{}\n");
}

TEST(Line, NestsArraysAndObjects) {
  Line line;
  line.BeginArray("attempts");
  line.BeginObject().Int("status", 503).End();
  line.BeginObject().Int("status", 200).End();
  line.Int("", 7).End();
  line.BeginObject("empty").End().Int("after", 1);
  EXPECT_EQ(line.Finish(),
            "{\"attempts\":[{\"status\":503},{\"status\":200},7],\"empty\":{},\"after\":1}\n");
}

TEST(Line, ClosesWhatWasLeftOpen) {
  Line line;
  line.BeginArray("a").BeginObject().BeginArray("b");
  EXPECT_EQ(line.Finish(), "{\"a\":[{\"b\":[]}]}\n");
}

TEST(Line, ShowsNanosecondsAsMilliseconds) {
  const struct {
    int64_t nanos;
    std::string_view expected;
  } kCases[] = {
      {0, "0.000"},
      {999, "0.000"},
      {1000, "0.001"},
      {1'234'567, "1.234"},
      {60'000'000'000, "60000.000"},
      {-1'500'000, "-1.500"},
      {std::numeric_limits<int64_t>::min(), "-9223372036854.775"},
  };
  for (const auto& c : kCases) {
    Line line;
    line.Millis("t", c.nanos);
    EXPECT_EQ(line.Finish(), "{\"t\":" + std::string(c.expected) + "}\n");
  }
}

TEST(Line, CutsLongValuesAndSaysWhenFieldsWereLeftOut) {
  Line line;
  line.Str("path", std::string(5000, 'p'));
  auto json = nlohmann::json::parse(line.Finish());
  EXPECT_EQ(json["path"].get<std::string>().size(), Line::kMaxValueBytes);
  EXPECT_FALSE(json.contains("truncated"));

  line.Clear();
  line.Int("first", 1);
  for (int i = 0; i < 20; ++i) line.Str("path", std::string(5000, 'p'));
  line.Int("last", 1);
  const std::string_view text = line.Finish();
  EXPECT_LE(text.size(), Line::kMaxBytes);
  json = nlohmann::json::parse(text);
  EXPECT_EQ(json["first"], 1);
  EXPECT_FALSE(json.contains("last"));
  EXPECT_EQ(json["truncated"], true);
}

TEST(Line, IsValidJsonWhateverIsPutIn) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Line line;
    std::string kinds = "{";  // what is open, so that only elements of arrays go without a key
    const uint64_t operations = random.Below(400);
    for (uint64_t i = 0; i < operations; ++i) {
      const std::string_view key = kinds.back() == '[' ? "" : "key";
      switch (random.Below(7)) {
        case 0:
          line.Int(key, static_cast<int64_t>(random.Next()));
          break;
        case 1:
          line.Float(key, random.Uniform(-1e30, 1e30));
          break;
        case 2:
          if (kinds.size() > static_cast<size_t>(Line::kMaxDepth)) break;
          line.BeginArray(key);
          kinds += '[';
          break;
        case 3:
          if (kinds.size() > static_cast<size_t>(Line::kMaxDepth)) break;
          line.BeginObject(key);
          kinds += '{';
          break;
        case 4:
          if (kinds.size() == 1) break;
          line.End();
          kinds.pop_back();
          break;
        default: {
          std::string value(random.Below(300), '\0');
          for (char& c : value) c = static_cast<char>(random.Below(256));
          line.Str(key, value);
        }
      }
    }
    const std::string_view text = line.Finish();
    ASSERT_LE(text.size(), Line::kMaxBytes);
    ASSERT_EQ(text.find('\n'), text.size() - 1);
    ASSERT_TRUE(nlohmann::json::accept(text)) << text;
  }
}

}  // namespace
}  // namespace outrigger::log
