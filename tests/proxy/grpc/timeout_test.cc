#include "proxy/grpc/timeout.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/base/random.h"

namespace outrigger::grpc {
namespace {

using absl::Milliseconds;
using absl::Seconds;

TEST(GrpcTimeout, FollowsTheGrammar) {
  EXPECT_EQ(ParseTimeout("1H"), absl::Hours(1));
  EXPECT_EQ(ParseTimeout("2M"), absl::Minutes(2));
  EXPECT_EQ(ParseTimeout("3S"), Seconds(3));
  EXPECT_EQ(ParseTimeout("4m"), Milliseconds(4));
  EXPECT_EQ(ParseTimeout("5u"), absl::Microseconds(5));
  EXPECT_EQ(ParseTimeout("6n"), absl::Nanoseconds(6));
  EXPECT_EQ(ParseTimeout("0n"), absl::ZeroDuration());
  EXPECT_EQ(ParseTimeout("00000007S"), Seconds(7));
  EXPECT_EQ(ParseTimeout("99999999H"), absl::Hours(99'999'999));
}

TEST(GrpcTimeout, NothingElseIsOne) {
  for (const std::string_view text :
       {"",           "S",   "1",   "1s",   "1h",  "1N",           "1U",  "100000000S",
        "000000001S", "-1S", "+1S", "1.5S", "1 S", " 1S",          "1S ", "S1",
        "1SS",        "1k",  "1ms", "0x1S", "1\n", "\xEF\xBC\x91S"}) {
    EXPECT_EQ(ParseTimeout(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseTimeout(std::string_view("1\0", 2)), std::nullopt);
  EXPECT_EQ(ParseTimeout(std::string(5000, '9') + "S"), std::nullopt);
}

TEST(GrpcTimeout, IsWrittenInTheFinestUnitThatFits) {
  Arena arena;
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(7), arena), "7n");
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(99'999'999), arena), "99999999n");
  EXPECT_EQ(FormatTimeout(absl::Nanoseconds(100'000'000), arena), "100000u");
  EXPECT_EQ(FormatTimeout(Seconds(2), arena), "2000000u");
  EXPECT_EQ(FormatTimeout(Seconds(300), arena), "300000m");
  EXPECT_EQ(FormatTimeout(absl::Hours(100), arena), "360000S");
  EXPECT_EQ(FormatTimeout(absl::Hours(24) * 365 * 100, arena), "52560000M");
  EXPECT_EQ(FormatTimeout(absl::Hours(24) * 365 * 300, arena), "2628000H");
  EXPECT_EQ(FormatTimeout(absl::InfiniteDuration(), arena), "99999999H");
  EXPECT_EQ(FormatTimeout(absl::ZeroDuration(), arena), "1n");
  EXPECT_EQ(FormatTimeout(-Seconds(1), arena), "1n");
}

TEST(GrpcTimeout, WhatIsWrittenIsReadBackAsNoMoreTime) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  for (int round = 0; round < 20000; ++round) {
    const absl::Duration remaining =
        absl::Nanoseconds(static_cast<int64_t>(1 + (random.Next() >> (1 + random.Below(60)))));
    Arena arena;
    const auto read = ParseTimeout(FormatTimeout(remaining, arena));
    ASSERT_TRUE(read.has_value()) << absl::FormatDuration(remaining);
    ASSERT_LE(*read, remaining);
    ASSERT_GT(*read, remaining - remaining / 1000 - absl::Nanoseconds(1));
  }
}

}  // namespace
}  // namespace outrigger::grpc
