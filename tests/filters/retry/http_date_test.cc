#include "filters/retry/http_date.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "proxy/base/random.h"

namespace outrigger::retry {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);  // June 2025

TEST(HttpDate, ReadsTheThreeForms) {
  const absl::Time expected = absl::FromUnixSeconds(784111777);
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT", kNow), expected);
  EXPECT_EQ(ParseHttpDate("Sunday, 06-Nov-94 08:49:37 GMT", kNow), expected);
  EXPECT_EQ(ParseHttpDate("Sun Nov  6 08:49:37 1994", kNow), expected);
  EXPECT_EQ(ParseHttpDate("Wed Nov 16 08:49:37 1994", kNow), expected + absl::Hours(24) * 10);
}

TEST(HttpDate, WritesOfEveryKindAreReadBack) {
  constexpr uint64_t kSeed = 99;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  for (int round = 0; round < 5000; ++round) {
    // Within the 50 years that a two-digit year can say.
    const absl::Time time =
        kNow + absl::Seconds(static_cast<int64_t>(random.Below(3'000'000'000)) - 1'500'000'000);
    for (const char* form :
         {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
      const std::string text = absl::FormatTime(form, time, absl::UTCTimeZone());
      ASSERT_EQ(ParseHttpDate(text, kNow), time) << text;
    }
  }
}

TEST(HttpDate, TwoDigitYearsAreNeverMoreThanFiftyYearsAhead) {
  const auto year = [](std::string_view text) {
    const auto time = ParseHttpDate(text, kNow);
    return time ? absl::ToCivilYear(*time, absl::UTCTimeZone()).year() : 0;
  };
  EXPECT_EQ(year("Sunday, 06-Nov-75 08:49:37 GMT"), 2075);
  EXPECT_EQ(year("Sunday, 06-Nov-76 08:49:37 GMT"), 1976);
  EXPECT_EQ(year("Sunday, 06-Nov-00 08:49:37 GMT"), 2000);
}

TEST(HttpDate, ALeapSecondIsTheSecondAfterIt) {
  EXPECT_EQ(ParseHttpDate("Sat, 31 Dec 2016 23:59:60 GMT", kNow),
            ParseHttpDate("Sun, 01 Jan 2017 00:00:00 GMT", kNow));
}

TEST(HttpDate, RefusesEverythingElse) {
  for (const std::string_view text : {"",
                                      "Sun",
                                      "Sun,",
                                      "Sunday",
                                      "06 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 nov 1994 08:49:37 GMT",
                                      "Sun, 31 Apr 1994 08:49:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 29 Feb 2023 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:61 GMT",
                                      "Sun, 06 Nov -994 08:49:37 GMT",
                                      "Sun, 06 Nov 94 08:49:37 GMT",
                                      "Xyz, 06 Nov 1994 08:49:37 GMT",
                                      "Sunday, 06-Nov-1994 08:49:37 GMT",
                                      "Sunday, 06 Nov 94 08:49:37 GMT",
                                      "Sun Nov 6 08:49:37 1994",
                                      "Sun Nov  6 08:49:37 1994 GMT",
                                      "Sun Nov  6 08:49:37 94",
                                      "2024-01-01T00:00:00Z",
                                      "784111777"}) {
    EXPECT_EQ(ParseHttpDate(text, kNow), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace outrigger::retry
