#include "proxy/config/units.h"

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::config {
namespace {

TEST(Duration, ReadsNumbersWithUnits) {
  const struct {
    std::string_view text;
    absl::Duration value;
  } kCases[] = {
      {"0", absl::ZeroDuration()},
      {"0s", absl::ZeroDuration()},
      {"250ms", absl::Milliseconds(250)},
      {"5s", absl::Seconds(5)},
      {"1.5s", absl::Milliseconds(1500)},
      {"0.1s", absl::Milliseconds(100)},
      {"7us", absl::Microseconds(7)},
      {"2m", absl::Minutes(2)},
      {"1h", absl::Hours(1)},
      {"1h30m", absl::Minutes(90)},
      {"1d2h3m4s5ms6us", absl::Hours(26) + absl::Minutes(3) + absl::Seconds(4) +
                             absl::Milliseconds(5) + absl::Microseconds(6)},
  };
  for (const auto& c : kCases) {
    const absl::StatusOr<absl::Duration> duration = ParseDuration(c.text);
    ASSERT_TRUE(duration.ok()) << c.text << ": " << duration.status();
    EXPECT_EQ(*duration, c.value) << c.text;
  }
}

TEST(Duration, RefusesWhatIsNoDuration) {
  for (const std::string_view text :
       {"", "s", "5 s", "-5s", "5x", "5S", "5s5s", "30m1h", "1h30", ".s", "1.s", "1..5s", "1e3s",
        "99999999999999999999s", "999999999999d", "+5s", "5s ", "nan", "inf"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(Duration, AsksForAUnitWhereANumberStandsAlone) {
  EXPECT_EQ(ParseDuration("30").status().message(), "'30' has no unit; write 30s or 30ms");
}

TEST(Duration, IsShownInTheUnitPeopleUse) {
  EXPECT_EQ(DurationText(absl::ZeroDuration()), "0s");
  EXPECT_EQ(DurationText(absl::Seconds(620)), "620s");
  EXPECT_EQ(DurationText(absl::Seconds(60)), "60s");
  EXPECT_EQ(DurationText(absl::Milliseconds(1500)), "1500ms");
  EXPECT_EQ(DurationText(absl::Hours(24)), "24h");
  EXPECT_EQ(DurationText(absl::Hours(72)), "3d");
  EXPECT_EQ(DurationText(absl::Nanoseconds(1001)), "1.001us");
}

TEST(Size, ReadsBytesAndPowers) {
  const struct {
    std::string_view text;
    size_t value;
  } kCases[] = {{"0", 0},           {"512", 512},      {"512B", 512},   {"64KiB", 64 << 10},
                {"2MiB", 2 << 20},  {"1GiB", 1 << 30}, {"64kB", 64000}, {"2MB", 2000000},
                {"1GB", 1000000000}};
  for (const auto& c : kCases) {
    const absl::StatusOr<size_t> size = ParseSize(c.text);
    ASSERT_TRUE(size.ok()) << c.text << ": " << size.status();
    EXPECT_EQ(*size, c.value) << c.text;
  }
}

TEST(Size, RefusesWhatIsNoSize) {
  for (const std::string_view text : {"", "KiB", "64 KiB", "-1", "1.5MiB", "64K", "64kb", "64Kib",
                                      "99999999999GiB", "99999999999999999999"}) {
    EXPECT_FALSE(ParseSize(text).ok()) << text;
  }
}

TEST(Rate, ReadsACountPerInterval) {
  const struct {
    std::string_view text;
    RateSpec value;
  } kCases[] = {
      {"100/s", {100, absl::Seconds(1)}}, {"6000/m", {6000, absl::Minutes(1)}},
      {"10/h", {10, absl::Hours(1)}},     {"1/d", {1, absl::Hours(24)}},
      {"5/10s", {5, absl::Seconds(10)}},  {"3/250ms", {3, absl::Milliseconds(250)}},
  };
  for (const auto& c : kCases) {
    const absl::StatusOr<RateSpec> rate = ParseRate(c.text);
    ASSERT_TRUE(rate.ok()) << c.text << ": " << rate.status();
    EXPECT_EQ(*rate, c.value) << c.text;
    EXPECT_EQ(RateText(*rate), c.text);
  }
}

TEST(Rate, RefusesWhatIsNoRate) {
  for (const std::string_view text :
       {"", "/", "100", "100/", "/s", "-1/s", "1.5/s", "100 / s", "100/0s", "100/x", "100/s/s"}) {
    EXPECT_FALSE(ParseRate(text).ok()) << text;
  }
}

TEST(Ratio, ReadsPercentAndFractions) {
  const struct {
    std::string_view text;
    double value;
  } kCases[] = {{"20%", 0.2}, {"0.2", 0.2}, {"0", 0}, {"1", 1}, {"100%", 1}, {"0.5%", 0.005}};
  for (const auto& c : kCases) {
    const absl::StatusOr<double> ratio = ParseRatio(c.text);
    ASSERT_TRUE(ratio.ok()) << c.text << ": " << ratio.status();
    EXPECT_DOUBLE_EQ(*ratio, c.value) << c.text;
  }
  EXPECT_EQ(RatioText(0.2), "20%");
  EXPECT_EQ(RatioText(0.005), "0.5%");
}

TEST(Ratio, RefusesWhatIsNoRatio) {
  for (const std::string_view text :
       {"", "%", "20 %", "-1%", "-0", "101%", "1.01", "20", "nan", "inf", "0x1", "1e-3", "20%%"}) {
    EXPECT_FALSE(ParseRatio(text).ok()) << text;
  }
}

TEST(Count, ReadsWholeNumbersOnly) {
  EXPECT_EQ(*ParseCount("0"), 0);
  EXPECT_EQ(*ParseCount("-7"), -7);
  for (const std::string_view text :
       {"", "-", "--1", "+1", "1.0", "0x10", "1_000", "1 ", "9223372036854775808", "ten"}) {
    EXPECT_FALSE(ParseCount(text).ok()) << text;
  }
}

TEST(Number, ReadsPlainDecimalsOnly) {
  EXPECT_EQ(*ParseNumber("0"), 0);
  EXPECT_EQ(*ParseNumber("3"), 3);
  EXPECT_EQ(*ParseNumber("2.5"), 2.5);
  for (const std::string_view text :
       {"", "-", "-1", "-0", "+1", "3x", "1e3", "0x10", "1_000", "1 ", "nan", "inf", "ten"}) {
    EXPECT_FALSE(ParseNumber(text).ok()) << text;
  }
}

TEST(Units, ShownValuesAreReadBackUnchanged) {
  constexpr uint64_t kSeed = 20240501;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    const int shift = static_cast<int>(random.Below(40));
    const auto bits = static_cast<int64_t>(random.Next() >> (24 + shift));
    const absl::Duration duration = absl::Microseconds(bits);
    EXPECT_EQ(ParseDuration(DurationText(duration)).value(), duration);
    const auto size = static_cast<size_t>(bits);
    EXPECT_EQ(ParseSize(SizeText(size)).value(), size);
    const double ratio = static_cast<double>(random.Below(1'000'001)) / 1e6;
    EXPECT_EQ(ParseRatio(RatioText(ratio)).value(), ratio);
    const RateSpec rate{bits, duration + absl::Milliseconds(1)};
    EXPECT_EQ(ParseRate(RateText(rate)).value(), rate);
  }
}

}  // namespace
}  // namespace outrigger::config
