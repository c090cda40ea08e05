#include "filters/retry/retry_after.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::retry {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

// Sun, 06 Nov 1994 08:49:37 GMT.
const absl::Time kNow = absl::FromUnixSeconds(784111777);
constexpr std::nullopt_t kAbsent = std::nullopt;
const absl::Duration kForever = absl::InfiniteDuration();

RetryHint Read(const Fields& fields, int status = 429) {
  http::HeaderList headers;
  for (const auto& [name, value] : fields) headers.Add(name, value);
  return ReadRetryHint(status, headers, kNow);
}

struct Case {
  Fields fields;
  std::optional<absl::Duration> wait;
  int status = 429;
};

// The conformance table of RT-4.
const std::vector<Case>& Table() {
  static const std::string huge(400, '9');
  static const std::string tiny = "0." + std::string(400, '0') + "1";
  static const std::vector<Case> table = {
      // Retry-After in seconds.
      {{{"Retry-After", "120"}}, Seconds(120)},
      {{{"retry-after", "0"}}, Seconds(0)},
      {{{"Retry-After", "  7\t"}}, Seconds(7)},
      {{{"Retry-After", "007"}}, Seconds(7)},
      {{{"Retry-After", "1.5"}}, Milliseconds(1500)},
      {{{"Retry-After", "0.25"}}, Milliseconds(250)},
      {{{"Retry-After", ".5"}}, Milliseconds(500)},
      {{{"Retry-After", "5."}}, Seconds(5)},
      {{{"Retry-After", tiny}}, Seconds(0)},
      {{{"Retry-After", "86400"}}, Seconds(86400)},
      // Huge, negative, garbage.
      {{{"Retry-After", "99999999999"}}, kForever},
      {{{"Retry-After", "18446744073709551617"}}, kForever},
      {{{"Retry-After", huge}}, kForever},
      {{{"Retry-After", "-1"}}, kAbsent},
      {{{"Retry-After", "-0"}}, kAbsent},
      {{{"Retry-After", "+5"}}, kAbsent},
      {{{"Retry-After", ""}}, kAbsent},
      {{{"Retry-After", "."}}, kAbsent},
      {{{"Retry-After", "1.2.3"}}, kAbsent},
      {{{"Retry-After", "1e3"}}, kAbsent},
      {{{"Retry-After", "0x10"}}, kAbsent},
      {{{"Retry-After", "nan"}}, kAbsent},
      {{{"Retry-After", "inf"}}, kAbsent},
      {{{"Retry-After", "soon"}}, kAbsent},
      {{{"Retry-After", "5 seconds"}}, kAbsent},
      {{{"Retry-After", "5s"}}, kAbsent},
      {{{"Retry-After", "1 000"}}, kAbsent},
      // HTTP dates, against our clock.
      {{{"Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"}}, Seconds(60)},
      {{{"Retry-After", "Sunday, 06-Nov-94 08:50:37 GMT"}}, Seconds(60)},
      {{{"Retry-After", "Sun Nov  6 08:50:37 1994"}}, Seconds(60)},
      {{{"Retry-After", "Sun, 06 Nov 1994 08:00:00 GMT"}}, Seconds(0)},
      {{{"Retry-After", "Mon, 07 Nov 1994 08:49:37 GMT"}}, absl::Hours(24)},
      {{{"Retry-After", "Sun, 06 Nov 1994 08:50:37 PST"}}, kAbsent},
      {{{"Retry-After", "1994-11-06T08:50:37Z"}}, kAbsent},
      // HTTP dates, against the peer's clock, which is a day ahead of ours.
      {{{"Date", "Mon, 07 Nov 1994 08:49:37 GMT"},
        {"Retry-After", "Mon, 07 Nov 1994 08:49:47 GMT"}},
       Seconds(10)},
      {{{"Retry-After", "Monday, 07-Nov-94 08:49:47 GMT"}, {"Date", "Mon Nov  7 08:49:37 1994"}},
       Seconds(10)},
      {{{"Date", "yesterday"}, {"Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT"}}, Seconds(10)},
      // Duplicates: never earlier than any of them asks.
      {{{"Retry-After", "5"}, {"Retry-After", "7"}}, Seconds(7)},
      {{{"Retry-After", "7"}, {"Retry-After", "5"}}, Seconds(7)},
      {{{"Retry-After", "x"}, {"Retry-After", "5"}}, Seconds(5)},
      {{{"Retry-After", "5, 7"}}, Seconds(7)},
      {{{"Retry-After", "5, x"}}, kAbsent},
      {{{"Retry-After", "2"}, {"Retry-After", "Sun, 06 Nov 1994 08:49:40 GMT"}}, Seconds(3)},
      // Milliseconds come first.
      {{{"retry-after-ms", "1500"}}, Milliseconds(1500)},
      {{{"retry-after-ms", "0.5"}}, absl::Microseconds(500)},
      {{{"retry-after-ms", "20"}, {"Retry-After", "1"}}, Milliseconds(20)},
      {{{"Retry-After", "1"}, {"retry-after-ms", "20"}}, Milliseconds(20)},
      {{{"retry-after-ms", "-1"}, {"Retry-After", "1"}}, Seconds(1)},
      {{{"retry-after-ms", "soon"}, {"x-ms-retry-after-ms", "30"}}, Milliseconds(30)},
      {{{"x-ms-retry-after-ms", "30"}, {"Retry-After", "1"}}, Milliseconds(30)},
      {{{"retry-after-ms", "10"}, {"x-ms-retry-after-ms", "30"}}, Milliseconds(10)},
      {{{"retry-after-ms", huge}}, kForever},
      {{{"retry-after-ms", "10"}, {"retry-after-ms", "40"}}, Milliseconds(40)},
      // gRPC pushback.
      {{{"grpc-retry-pushback-ms", "250"}}, Milliseconds(250)},
      {{{"grpc-retry-pushback-ms", "250"}, {"Retry-After", "1"}}, Seconds(1)},
      {{{"grpc-retry-pushback-ms", huge}}, kForever},
      // Rate limit headers: only on 429 and only of the dimension that is used up.
      {{{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "1.2s"}},
       Milliseconds(1200)},
      {{{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "6m0s"}}, Seconds(360)},
      {{{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "120ms"}},
       Milliseconds(120)},
      {{{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "1h2m3.5s"}},
       Milliseconds(3723500)},
      {{{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "17"}}, Seconds(17)},
      {{{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "784111787"}},
       Seconds(784111787)},  // before 2001 no number is a date: this asks for decades
      {{{"x-ratelimit-remaining-requests", "12"},
        {"x-ratelimit-reset-requests", "60"},
        {"x-ratelimit-remaining-tokens", "0"},
        {"x-ratelimit-reset-tokens", "2s"}},
       Seconds(2)},
      {{{"x-ratelimit-remaining-requests", "0"},
        {"x-ratelimit-reset-requests", "3s"},
        {"x-ratelimit-remaining-tokens", "0"},
        {"x-ratelimit-reset-tokens", "2s"}},
       Seconds(3)},
      {{{"x-ratelimit-remaining-requests", "1"}, {"x-ratelimit-reset-requests", "3s"}}, kAbsent},
      {{{"x-ratelimit-reset-requests", "3s"}}, kAbsent},
      {{{"x-ratelimit-remaining-requests", "0"}}, kAbsent},
      {{{"x-ratelimit-remaining-requests", "none"}, {"x-ratelimit-reset-requests", "3s"}}, kAbsent},
      {{{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "3 parsecs"}},
       kAbsent},
      {{{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "3s"}},
       kAbsent,
       503},
      {{{"x-ratelimit-remaining-requests", "0"},
        {"x-ratelimit-reset-requests", "9s"},
        {"Retry-After", "1"}},
       Seconds(1)},
      {{}, kAbsent},
  };
  return table;
}

TEST(RetryHint, FollowsTheConformanceTable) {
  ASSERT_GE(Table().size(), 40u);
  for (const Case& c : Table()) {
    std::string text;
    for (const auto& [name, value] : c.fields) {
      text += std::string(name) + ": " + std::string(value.substr(0, 60)) + "; ";
    }
    const RetryHint hint = Read(c.fields, c.status);
    EXPECT_EQ(hint.wait, c.wait) << text;
    EXPECT_FALSE(hint.is_forbidden) << text;
  }
}

TEST(RetryHint, UnderstandsResetsAsTimesSince1970) {
  const absl::Time now = absl::FromUnixSeconds(1'750'000'000);
  const std::pair<std::string_view, absl::Duration> cases[] = {
      {"1750000010", Seconds(10)},
      {"1750000010.5", Milliseconds(10500)},
      {"1750000010500", Milliseconds(10500)},
      {"1749999000", Seconds(0)},
      {"999999999", Seconds(999'999'999)},
  };
  for (const auto& [value, wait] : cases) {
    http::HeaderList headers;
    headers.Add("x-ratelimit-remaining-requests", "0");
    headers.Add("x-ratelimit-reset-requests", value);
    const auto read = ReadRetryHint(429, headers, now).wait;
    ASSERT_TRUE(read.has_value()) << value;
    EXPECT_LT(absl::AbsDuration(*read - wait), absl::Milliseconds(1)) << value;
  }
}

TEST(RetryHint, ShouldRetryFalseForbids) {
  EXPECT_TRUE(Read({{"x-should-retry", "false"}}).is_forbidden);
  EXPECT_TRUE(Read({{"X-Should-Retry", " False "}, {"Retry-After", "1"}}).is_forbidden);
  EXPECT_FALSE(Read({{"x-should-retry", "true"}}).is_forbidden);
  EXPECT_FALSE(Read({{"x-should-retry", "no"}}).is_forbidden);
  EXPECT_FALSE(Read({}).is_forbidden);
}

TEST(RetryHint, NegativeOrUnreadablePushbackForbids) {
  for (const std::string_view value : {"-1", "x", "", "1.5", "+1"}) {
    EXPECT_TRUE(Read({{"grpc-retry-pushback-ms", value}}).is_forbidden) << value;
  }
  EXPECT_FALSE(Read({{"grpc-retry-pushback-ms", "0"}}).is_forbidden);
}

TEST(RetryHint, JitterAddsUpToATenth) {
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  absl::Duration least = kForever;
  absl::Duration most = absl::ZeroDuration();
  for (int i = 0; i < 10000; ++i) {
    const absl::Duration wait = WithJitter(Seconds(10), random);
    least = std::min(least, wait);
    most = std::max(most, wait);
  }
  EXPECT_GE(least, Seconds(10));
  EXPECT_LT(least, Milliseconds(10010));
  EXPECT_LT(most, Seconds(11));
  EXPECT_GT(most, Milliseconds(10990));
  EXPECT_EQ(WithJitter(absl::ZeroDuration(), random), absl::ZeroDuration());
}

TEST(RetryHint, GoDurationsHaveUnitsAndNoSigns) {
  EXPECT_EQ(ParseGoDuration("15us"), absl::Microseconds(15));
  EXPECT_EQ(ParseGoDuration("15\xC2\xB5s"), absl::Microseconds(15));
  EXPECT_EQ(ParseGoDuration("7ns"), absl::Nanoseconds(7));
  EXPECT_EQ(ParseGoDuration("1m30s"), Seconds(90));
  for (const std::string_view text : {"", "s", "1", "-1s", "1s2", "1x", "1..s", "1d"}) {
    EXPECT_EQ(ParseGoDuration(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace outrigger::retry
