#include "proxy/http/headers.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/random.h"

namespace outrigger::http {
namespace {

std::string InUpperCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(c));
  return out;
}

TEST(Headers, NamesAreClassifiedInAnyCaseAndAsAWhole) {
  struct Case {
    std::string_view name;
    HeaderId id;
  };
  const Case cases[] = {
      {"te", HeaderId::kTe},
      {"via", HeaderId::kVia},
      {"host", HeaderId::kHost},
      {"upgrade", HeaderId::kUpgrade},
      {"location", HeaderId::kLocation},
      {"content-length", HeaderId::kContentLength},
      {"transfer-encoding", HeaderId::kTransferEncoding},
      {"x-envoy-expected-rq-timeout-ms", HeaderId::kXEnvoyExpectedRqTimeoutMs},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ClassifyHeader(c.name), c.id) << c.name;
    EXPECT_EQ(ClassifyHeader(InUpperCase(c.name)), c.id) << c.name;
    EXPECT_EQ(ClassifyHeader(std::string(c.name) + "s"), HeaderId::kOther) << c.name;
    EXPECT_EQ(ClassifyHeader(c.name.substr(1)), HeaderId::kOther) << c.name;
    for (size_t at = 0; at < c.name.size(); ++at) {
      // Bytes that only differ in the bit of the case, but are no letters.
      std::string other(c.name);
      other[at] = other[at] == '-' ? '\r' : '_';
      EXPECT_EQ(ClassifyHeader(other), HeaderId::kOther) << other;
      other[at] = static_cast<char>(c.name[at] | 0x80);
      EXPECT_EQ(ClassifyHeader(other), HeaderId::kOther) << other;
    }
  }
}

TEST(Headers, OurOwnNamesShareOneId) {
  EXPECT_EQ(ClassifyHeader("X-Outrigger-Reason"), HeaderId::kXOutrigger);
  EXPECT_EQ(ClassifyHeader("x-outrigger-"), HeaderId::kXOutrigger);
  EXPECT_EQ(ClassifyHeader("x-outrigger"), HeaderId::kOther);
  EXPECT_EQ(ClassifyHeader("x-outriggers-a"), HeaderId::kOther);
}

TEST(Headers, ComparisonWithoutCaseAgreesWithTheObviousOne) {
  constexpr uint64_t kSeed = 9110;
  Random random(kSeed);
  for (int round = 0; round < 50000; ++round) {
    std::string a;
    for (uint64_t left = random.Below(20); left > 0; --left) {
      a += static_cast<char>(random.Next());
    }
    std::string b = a;
    for (char& c : b) {
      if (random.Below(3) == 0) c = static_cast<char>(c ^ 0x20);
    }
    if (!b.empty() && random.Below(3) == 0) b[random.Below(b.size())] ^= 1;
    bool is_same = true;
    for (size_t i = 0; i < a.size(); ++i) {
      const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; };
      is_same &= lower(a[i]) == lower(b[i]);
    }
    ASSERT_EQ(EqualsIgnoreCase(a, b), is_same)
        << "seed " << kSeed << ", round " << round << ": " << testing::PrintToString(a) << " and "
        << testing::PrintToString(b);
  }
  EXPECT_FALSE(EqualsIgnoreCase("a", "ab"));
  EXPECT_TRUE(EqualsIgnoreCase("", ""));
}

TEST(Headers, ListsAreSearchedMemberByMember) {
  EXPECT_TRUE(ListContainsToken("keep-alive, Close", "close"));
  EXPECT_TRUE(ListContainsToken("close", "close"));
  EXPECT_TRUE(ListContainsToken(" ,\tclose\t,", "close"));
  EXPECT_FALSE(ListContainsToken("closed, enclose", "close"));
  EXPECT_FALSE(ListContainsToken("", "close"));
}

}  // namespace
}  // namespace outrigger::http
