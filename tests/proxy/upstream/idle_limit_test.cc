#include "proxy/upstream/idle_limit.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace outrigger::upstream {
namespace {

constexpr absl::Duration kStart = absl::Seconds(3);
const MonoTime kBegin = MonoTime::FromNanos(3'600'000'000'000);

struct Close {
  absl::Duration at;
  absl::Duration idle_for;
};

// `count` closes, ten seconds apart, each after `idle_for`.
std::vector<Close> Isolated(int count, absl::Duration idle_for) {
  std::vector<Close> closes;
  for (int i = 0; i < count; ++i) closes.push_back({absl::Seconds(10 * i), idle_for});
  return closes;
}

absl::Duration After(const std::vector<Close>& closes) {
  IdleLimit limit(kStart);
  for (const Close& close : closes) limit.OnIdleClose(close.idle_for, kBegin + close.at);
  return limit.value();
}

TEST(IdleLimit, StartsAtTheConfiguredValue) { EXPECT_EQ(IdleLimit(kStart).value(), kStart); }

TEST(IdleLimit, LearnsFromIsolatedCloses) {
  // The last close counts when the next one shows that it was alone.
  EXPECT_EQ(After(Isolated(3, absl::Seconds(2))), kStart);
  EXPECT_EQ(After(Isolated(4, absl::Seconds(2))), absl::Milliseconds(1500));
  EXPECT_EQ(After(Isolated(4, absl::Seconds(5))), absl::Milliseconds(4500));
  EXPECT_EQ(After(Isolated(4, absl::Seconds(60))), absl::Seconds(54));
}

TEST(IdleLimit, TakesTheShortestOfThree) {
  std::vector<Close> closes = Isolated(4, absl::Seconds(5));
  closes[1].idle_for = absl::Seconds(2);
  EXPECT_EQ(After(closes), absl::Milliseconds(1500));
}

TEST(IdleLimit, NeverGoesBelowItsFloor) {
  EXPECT_EQ(After(Isolated(4, absl::Seconds(1))), IdleLimit::kFloor);
  EXPECT_EQ(After(Isolated(4, absl::Milliseconds(1100))), absl::Milliseconds(600));
}

TEST(IdleLimit, LearnsNothingFromConnectionsThatWereHardlyIdle) {
  EXPECT_EQ(After(Isolated(20, absl::Milliseconds(999))), kStart);
}

TEST(IdleLimit, LearnsNothingFromARestart) {
  std::vector<Close> closes;
  for (int restart = 0; restart < 5; ++restart) {
    for (int i = 0; i < 10; ++i) {
      closes.push_back(
          {absl::Seconds(100 * restart) + absl::Milliseconds(50 * i), absl::Seconds(2)});
    }
  }
  EXPECT_EQ(After(closes), kStart);
}

TEST(IdleLimit, ACloseBesideAnotherIsNoSample) {
  std::vector<Close> closes;
  for (int i = 0; i < 10; ++i) {
    closes.push_back({absl::Seconds(10 * i), absl::Seconds(2)});
    closes.push_back({absl::Seconds(10 * i) + absl::Milliseconds(199), absl::Seconds(2)});
  }
  EXPECT_EQ(After(closes), kStart);
  for (size_t i = 1; i < closes.size(); i += 2) closes[i].at += absl::Milliseconds(1);
  EXPECT_EQ(After(closes), absl::Milliseconds(1500));
}

TEST(IdleLimit, ObeysAServerThatStatesItsTimeout) {
  const struct {
    const char* value;
    absl::Duration expected;
  } kTable[] = {
      {"timeout=5", absl::Milliseconds(4500)},
      {"timeout=5, max=100", absl::Milliseconds(4500)},
      {"max=100 ,\ttimeout=10", absl::Seconds(9)},
      {"Timeout=2", absl::Milliseconds(1500)},
      {"timeout=1", IdleLimit::kFloor},
      {"timeout=60", absl::Seconds(54)},
      {"timeout=4000000000", absl::Seconds(3240)},
      {"timeout=99999999999999999999", kStart},
      {"timeout=0", kStart},
      {"timeout=-5", kStart},
      {"timeout=5s", kStart},
      {"timeout=", kStart},
      {"timeout", kStart},
      {"xtimeout=5", kStart},
      {"max=100", kStart},
      {"", kStart},
      {",,,", kStart},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.value);
    IdleLimit limit(kStart);
    limit.OnKeepAliveHeader(row.value);
    EXPECT_EQ(limit.value(), row.expected);
  }
}

}  // namespace
}  // namespace outrigger::upstream
