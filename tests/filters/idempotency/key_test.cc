#include "filters/idempotency/key.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace outrigger::idempotency {
namespace {

using State = ParsedKey::State;

struct Case {
  std::string value;
  State state;
  std::string key;
};

TEST(ParseKeyValue, ReadsQuotedAndBareKeys) {
  const std::vector<Case> cases = {
      {R"("8e03978e-40d5-43e8-bc93-6894a57f9324")", State::kValid,
       "8e03978e-40d5-43e8-bc93-6894a57f9324"},
      {"8e03978e-40d5-43e8-bc93-6894a57f9324", State::kValid,
       "8e03978e-40d5-43e8-bc93-6894a57f9324"},
      {"  \"k\"\t", State::kValid, "k"},
      {"k", State::kValid, "k"},
      {R"("a\"b\\c")", State::kValid, R"(a"b\c)"},
      {R"("a,b;c")", State::kValid, "a,b;c"},
      {"a/b+c==", State::kValid, "a/b+c=="},
      {R"(a\b)", State::kValid, R"(a\b)"},
      {"~!", State::kValid, "~!"},
      {std::string(255, 'x'), State::kValid, std::string(255, 'x')},
      {'"' + std::string(255, 'x') + '"', State::kValid, std::string(255, 'x')},
      {std::string(256, 'x'), State::kInvalid, ""},
      {'"' + std::string(256, 'x') + '"', State::kInvalid, ""},
      {"\"\\\\" + std::string(255, 'x') + '"', State::kInvalid, ""},
      {"", State::kInvalid, ""},
      {"   ", State::kInvalid, ""},
      {R"("")", State::kInvalid, ""},
      {R"(")", State::kInvalid, ""},
      {R"("open)", State::kInvalid, ""},
      {R"("open\")", State::kInvalid, ""},
      {R"("bad\n")", State::kInvalid, ""},
      {R"("k";a=1)", State::kInvalid, ""},
      {R"("k" ;a=1)", State::kInvalid, ""},
      {R"("k", "k")", State::kInvalid, ""},
      {R"("k"x)", State::kInvalid, ""},
      {"a,b", State::kInvalid, ""},
      {"a, b", State::kInvalid, ""},
      {"a\"b", State::kInvalid, ""},
      {"a b", State::kInvalid, ""},
      {R"("a b")", State::kInvalid, ""},
      {"a\x7f", State::kInvalid, ""},
      {"\"a\x01\"", State::kInvalid, ""},
      {"caf\xc3\xa9", State::kInvalid, ""},
      {std::string("a\0b", 3), State::kInvalid, ""},
  };
  Arena arena;
  for (const Case& c : cases) {
    const ParsedKey key = ParseKeyValue(c.value, arena);
    EXPECT_EQ(key.state, c.state) << c.value;
    EXPECT_EQ(key.key, c.key) << c.value;
    EXPECT_EQ(key.problem.empty(), c.state == State::kValid) << c.value;
  }
}

TEST(ParseKeyValue, CopiesOnlyKeysWithEscapes) {
  Arena arena;
  const std::string plain = R"("plain")";
  const ParsedKey view = ParseKeyValue(plain, arena);
  EXPECT_EQ(view.key.data(), plain.data() + 1);
  EXPECT_EQ(arena.reserved_bytes(), 0u);
  EXPECT_EQ(ParseKeyValue(R"("a\"b")", arena).key, "a\"b");
  EXPECT_GT(arena.reserved_bytes(), 0u);
}

TEST(ParseKeyValue, NeverRepeatsTheKeyInTheProblem) {
  Arena arena;
  const ParsedKey key = ParseKeyValue("secret value", arena);
  EXPECT_EQ(key.state, State::kInvalid);
  EXPECT_THAT(std::string(key.problem), testing::Not(testing::HasSubstr("secret")));
}

class ParseKeyTest : public testing::Test {
 protected:
  ParsedKey Parse() { return ParseKey(headers_, names_, arena_); }

  std::vector<std::string> names_ = {"Idempotency-Key", "X-Idempotency-Key"};
  http::HeaderList headers_;
  Arena arena_;
};

TEST_F(ParseKeyTest, IsAbsentWithoutTheField) {
  headers_.Add("Content-Type", "text/plain");
  EXPECT_EQ(Parse().state, State::kAbsent);
}

TEST_F(ParseKeyTest, FindsTheFieldInAnyCase) {
  headers_.Add("idempotency-KEY", "\"k\"");
  EXPECT_EQ(Parse().key, "k");
}

TEST_F(ParseKeyTest, AcceptsTheSameKeySeveralTimesInAnyForm) {
  headers_.Add("Idempotency-Key", "\"k\"");
  headers_.Add("Idempotency-Key", "k");
  headers_.Add("x-idempotency-key", "k");
  EXPECT_EQ(Parse().state, State::kValid);
  EXPECT_EQ(Parse().key, "k");
}

TEST_F(ParseKeyTest, RefusesDifferentKeys) {
  headers_.Add("Idempotency-Key", "k");
  headers_.Add("X-Idempotency-Key", "K");
  EXPECT_EQ(Parse().state, State::kInvalid);
}

TEST_F(ParseKeyTest, RefusesAnInvalidKeyBesideAValidOne) {
  headers_.Add("Idempotency-Key", "k");
  headers_.Add("Idempotency-Key", "");
  EXPECT_EQ(Parse().state, State::kInvalid);
}

}  // namespace
}  // namespace outrigger::idempotency
