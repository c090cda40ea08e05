#include "proxy/log/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "proxy/base/random.h"

namespace outrigger::log {
namespace {

std::string Escape(std::string_view text) {
  std::string out(text.size() * kMaxEscapedBytes, '\0');
  out.resize(static_cast<size_t>(EscapeJson(text, out.data()) - out.data()));
  return out;
}

TEST(EscapeJson, FollowsTheTable) {
  using namespace std::string_view_literals;
  const struct {
    std::string_view input;
    std::string_view expected;
  } kCases[] = {
      {"", ""},
      {"plain /path?a=b", "plain /path?a=b"},
      {"\"\\", "\\\"\\\\"},
      {"\n\r\t", "\\n\\r\\t"},
      {"\0\x01\x1f\x7f"sv, "\\u0000\\u0001\\u001f\\u007f"},
      {"caf\xC3\xA9", "caf\xC3\xA9"},
      {"\xE2\x82\xAC\xF0\x9F\x9B\xB6", "\xE2\x82\xAC\xF0\x9F\x9B\xB6"},
      {"\xFF", "\xEF\xBF\xBD"},                  // never valid
      {"\xC3", "\xEF\xBF\xBD"},                  // cut short
      {"\xC3(", "\xEF\xBF\xBD("},                // continuation missing
      {"\x80", "\xEF\xBF\xBD"},                  // continuation alone
      {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},  // overlong slash
      {"\xE0\x80\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // surrogate
      {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Escape(c.input), c.expected);
}

TEST(EscapeJson, MakesValidJsonOfAnyBytes) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::string input(random.Below(64), '\0');
    // Half of the runs prefer the bytes that begin and continue sequences.
    for (char& c : input) {
      c = static_cast<char>(seed % 2 == 0 ? random.Below(256) : 0x80 + random.Below(128));
    }
    const std::string json = "\"" + Escape(input) + "\"";
    const auto parsed = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(parsed.is_string());
    // A second opinion on what is valid UTF-8: the library accepts exactly what we left unchanged.
    const auto unchanged = nlohmann::json(input);
    const std::string strict =
        unchanged.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
    const bool is_valid = nlohmann::json::parse(strict).get<std::string>().size() == input.size();
    EXPECT_EQ(parsed.get<std::string>() == input, is_valid);
  }
}

TEST(Utf8Prefix, DoesNotCutACharacter) {
  const std::string_view text =
      "a\xE2\x82\xAC"
      "b";
  EXPECT_EQ(Utf8Prefix(text, 0), "");
  EXPECT_EQ(Utf8Prefix(text, 1), "a");
  EXPECT_EQ(Utf8Prefix(text, 2), "a");
  EXPECT_EQ(Utf8Prefix(text, 3), "a");
  EXPECT_EQ(Utf8Prefix(text, 4), "a\xE2\x82\xAC");
  EXPECT_EQ(Utf8Prefix(text, 5), text);
  EXPECT_EQ(Utf8Prefix("\x80\x80\x80\x80\x80\x80", 5).size(), 2u);
}

}  // namespace
}  // namespace outrigger::log
