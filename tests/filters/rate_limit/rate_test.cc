#include "filters/rate_limit/rate.h"

#include <string>

#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::rate_limit {
namespace {

TEST(Rate, ReadsAndWritesTheForms) {
  const struct {
    const char* text;
    int64_t count;
    absl::Duration period;
    const char* written;
  } kCases[] = {
      {"100/s", 100, absl::Seconds(1), "100/s"},
      {"100000/m", 100'000, absl::Minutes(1), "100000/m"},
      {"5/h", 5, absl::Hours(1), "5/h"},
      {"10/100ms", 10, absl::Milliseconds(100), "10/100ms"},
      {"1000/15m", 1000, absl::Minutes(15), "1000/15m"},
      {"7/d", 7, absl::Hours(24), "7/d"},
      {"30/60s", 30, absl::Minutes(1), "30/m"},
      {"3/1500ms", 3, absl::Milliseconds(1500), "3/1500ms"},
      {"1000000000/ms", 1'000'000'000, absl::Milliseconds(1), "1000000000/ms"},
      {"1/31d", 1, absl::Hours(24 * 31), "1/31d"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.text);
    const absl::StatusOr<Rate> rate = Rate::Parse(c.text);
    ASSERT_TRUE(rate.ok()) << rate.status();
    EXPECT_EQ(rate->count(), c.count);
    EXPECT_EQ(rate->period(), c.period);
    EXPECT_EQ(rate->ToString(), c.written);
    const absl::StatusOr<Rate> again = Rate::Parse(rate->ToString());
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, *rate);
  }
}

TEST(Rate, RefusesEverythingElseAndNamesIt) {
  for (const char* text : {"",
                           "/",
                           "100",
                           "100/",
                           "/s",
                           "0/s",
                           "-1/s",
                           "+1/s",
                           "1.5/s",
                           "1e3/s",
                           "100 /s",
                           "100/ s",
                           "100/s ",
                           "100/w",
                           "100/0s",
                           "100/-1s",
                           "100/S",
                           "100/us",
                           "100/s/s",
                           "1000000001/s",
                           "1/32d",
                           "1/99999999999999999999d",
                           "99999999999999999999/s",
                           "0x10/s",
                           "1/1.5s"}) {
    const absl::StatusOr<Rate> rate = Rate::Parse(text);
    ASSERT_FALSE(rate.ok()) << text;
    EXPECT_NE(rate.status().message().find(text), absl::string_view::npos) << rate.status();
  }
}

TEST(Rate, MakeRefusesWhatIsNotWholeMilliseconds) {
  EXPECT_FALSE(Rate::Make(1, absl::Microseconds(1500)).ok());
  EXPECT_FALSE(Rate::Make(1, absl::ZeroDuration()).ok());
  EXPECT_FALSE(Rate::Make(1, absl::Seconds(-1)).ok());
  EXPECT_FALSE(Rate::Make(1, absl::InfiniteDuration()).ok());
  EXPECT_FALSE(Rate::Make(0, absl::Seconds(1)).ok());
}

TEST(Rate, AccruesTheSameInOneStepAndInMany) {
  constexpr uint64_t kSeed = 20'250'301;
  Random random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    const auto count = static_cast<int64_t>(1 + random.Below(1000));
    const auto millis = static_cast<int64_t>(1 + random.Below(3'600'000));
    SCOPED_TRACE(::testing::Message() << "seed " << kSeed << " round " << round);
    const absl::StatusOr<Rate> rate = Rate::Make(count, absl::Milliseconds(millis));
    ASSERT_TRUE(rate.ok());
    constexpr int64_t kNoLimit = 4'000'000'000'000'000'000;
    int64_t elapsed = 0;
    int64_t sum = 0;
    uint32_t remainder = 0;
    for (int step = 0; step < 10; ++step) {
      const auto nanos = static_cast<int64_t>(random.Below(uint64_t{1} << random.Below(34)));
      elapsed += nanos;
      sum += rate->Accrue(nanos, kNoLimit, &remainder);
    }
    uint32_t once = 0;
    ASSERT_EQ(sum, rate->Accrue(elapsed, kNoLimit, &once));
    ASSERT_EQ(remainder, once);
  }
}

TEST(Rate, NanosToBringIsTheShortestTimeThatSuffices) {
  constexpr uint64_t kSeed = 7'070;
  Random random(kSeed);
  for (int round = 0; round < 100'000; ++round) {
    const absl::StatusOr<Rate> rate =
        Rate::Make(static_cast<int64_t>(1 + random.Below(100'000)),
                   absl::Milliseconds(static_cast<int64_t>(1 + random.Below(86'400'000))));
    ASSERT_TRUE(rate.ok());
    const auto wanted = static_cast<int64_t>(1 + random.Below(uint64_t{1} << random.Below(50)));
    const auto carried = static_cast<uint32_t>(random.Below(rate->denominator()));
    const int64_t nanos = rate->NanosToBring(wanted, carried);
    SCOPED_TRACE(::testing::Message() << "seed " << kSeed << " round " << round << " "
                                      << rate->ToString() << " wanted " << wanted);
    uint32_t remainder = carried;
    ASSERT_GE(rate->Accrue(nanos, wanted, &remainder), wanted);
    if (nanos == 0) continue;
    remainder = carried;
    ASSERT_LT(rate->Accrue(nanos - 1, wanted, &remainder), wanted);
  }
}

}  // namespace
}  // namespace outrigger::rate_limit
