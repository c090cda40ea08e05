#include "tools/mock-ai/tokens.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace outrigger::mock_ai {
namespace {

GenerationKey Key(uint64_t seed, std::string_view id, uint64_t execution, std::string_view body) {
  return {.seed = seed, .id = id, .execution = execution, .body = body};
}

bool HaveSameTimes(const Generation& a, const Generation& b) {
  if (a.tokens.size() != b.tokens.size()) return false;
  for (size_t i = 0; i < a.tokens.size(); ++i) {
    if (a.tokens[i].delay != b.tokens[i].delay) return false;
  }
  return true;
}

TEST(Generate, GivesTheSameForTheSameKey) {
  const Generation a = Generate({}, Key(1, "k", 1, "{}"), 0);
  const Generation b = Generate({}, Key(1, "k", 1, "{}"), 0);
  EXPECT_EQ(a.text(), b.text());
  EXPECT_EQ(a.name, b.name);
  EXPECT_TRUE(HaveSameTimes(a, b));
}

TEST(Generate, EveryPartOfTheKeyMatters) {
  const Generation base = Generate({}, Key(1, "k", 1, "{}"), 0);
  for (const GenerationKey& key :
       {Key(2, "k", 1, "{}"), Key(1, "l", 1, "{}"), Key(1, "k", 2, "{}"), Key(1, "k", 1, "{ }")}) {
    const Generation other = Generate({}, key, 0);
    EXPECT_NE(other.text(), base.text());
    EXPECT_FALSE(HaveSameTimes(other, base));
  }
}

TEST(Generate, EveryExecutionGivesOtherBytesEvenWithOneToken) {
  TokenOptions options;
  options.tokens = 1;
  std::set<std::string> texts;
  std::set<std::string> names;
  for (uint64_t execution = 1; execution <= 200; ++execution) {
    const Generation generation = Generate(options, Key(1, "k", execution, "{}"), 0);
    texts.insert(generation.text());
    names.insert(generation.name);
  }
  EXPECT_EQ(texts.size(), 200U);
  EXPECT_EQ(names.size(), 200U);
}

TEST(Generate, TimesAreExactWithoutJitter) {
  TokenOptions options;
  options.jitter = 0;
  const Generation generation = Generate(options, Key(1, "k", 1, ""), 0);
  ASSERT_EQ(static_cast<int64_t>(generation.tokens.size()), options.tokens);
  EXPECT_EQ(generation.tokens[0].delay, options.ttft);
  for (size_t i = 1; i < generation.tokens.size(); ++i) {
    EXPECT_EQ(generation.tokens[i].delay, options.itl);
  }
  EXPECT_EQ(generation.total_time(), options.ttft + options.itl * (options.tokens - 1));
}

TEST(Generate, JitterKeepsTheMean) {
  TokenOptions options;
  options.jitter = 0.5;
  options.tokens = 20'001;
  const Generation generation = Generate(options, Key(7, "k", 1, ""), 0);
  absl::Duration sum;
  for (size_t i = 1; i < generation.tokens.size(); ++i) {
    EXPECT_GT(generation.tokens[i].delay, absl::ZeroDuration());
    sum += generation.tokens[i].delay;
  }
  EXPECT_NEAR(absl::FDivDuration(sum / 20'000, options.itl), 1.0, 0.03);
}

TEST(Generate, StopsAtTheLimitOfTheRequest) {
  const Generation limited = Generate({}, Key(1, "k", 1, ""), 3);
  EXPECT_EQ(limited.tokens.size(), 3U);
  EXPECT_TRUE(limited.hit_limit);
  const Generation free = Generate({}, Key(1, "k", 1, ""), 1000);
  EXPECT_EQ(static_cast<int64_t>(free.tokens.size()), TokenOptions().tokens);
  EXPECT_FALSE(free.hit_limit);
}

TEST(StableHash, IsTheSameOnEveryMachine) {
  // Published test vectors of 64-bit FNV-1a.
  EXPECT_EQ(StableHash(""), 0xcbf29ce484222325U);
  EXPECT_EQ(StableHash("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(StableHash("foobar"), 0x85944171f73967e8U);
}

}  // namespace
}  // namespace outrigger::mock_ai
