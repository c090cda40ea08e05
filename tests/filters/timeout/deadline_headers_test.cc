#include "filters/timeout/deadline_headers.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "filters/timeout/policy.h"
#include "proxy/base/random.h"

namespace outrigger::timeout {
namespace {

using absl::Milliseconds;
using absl::Seconds;

constexpr DeadlineTrust kTrusted = {.trusts_read_timeout = true};

absl::Duration Read(std::string_view name, std::string_view value,
                    const DeadlineTrust& trust = kTrusted) {
  http::HeaderList headers;
  headers.Add("accept", "*/*");
  headers.Add(name, value);
  const CallerTimeout caller = ReadCallerTimeout(headers, trust);
  EXPECT_EQ(caller.source == TimeoutSource::kNone, caller.timeout == absl::InfiniteDuration());
  if (caller.source != TimeoutSource::kNone) {
    EXPECT_EQ(TimeoutSourceName(caller.source), name);
  }
  return caller.timeout;
}

TEST(DeadlineHeaders, NoFieldMeansNoDeadline) {
  EXPECT_EQ(ReadCallerTimeout({}).timeout, absl::InfiniteDuration());
  EXPECT_EQ(ReadCallerTimeout({}).source, TimeoutSource::kNone);
}

TEST(DeadlineHeaders, EachFieldIsReadInItsOwnUnit) {
  EXPECT_EQ(Read("x-request-timeout-ms", "1500"), Milliseconds(1500));
  EXPECT_EQ(Read("x-request-timeout-ms", " 7\t"), Milliseconds(7));
  EXPECT_EQ(Read("x-envoy-expected-rq-timeout-ms", "250"), Milliseconds(250));
  EXPECT_EQ(Read("x-stainless-read-timeout", "600"), Seconds(600));
  EXPECT_EQ(Read("x-stainless-read-timeout", "0.5"), Milliseconds(500));
  EXPECT_EQ(Read("x-stainless-read-timeout", "1.25"), Milliseconds(1250));
  EXPECT_EQ(Read("grpc-timeout", "2S"), Seconds(2));
}

TEST(DeadlineHeaders, TheReadTimeoutCountsOnlyFromTrustedCallers) {
  EXPECT_EQ(Read("x-stainless-read-timeout", "600", {}), absl::InfiniteDuration());
}

TEST(DeadlineHeaders, TheShortestCounts) {
  http::HeaderList headers;
  headers.Add("x-request-timeout-ms", "5000");
  headers.Add("grpc-timeout", "3S");
  headers.Add("x-envoy-expected-rq-timeout-ms", "4000");
  headers.Add("x-request-timeout-ms", "3500");
  EXPECT_EQ(ReadCallerTimeout(headers).timeout, Seconds(3));
  EXPECT_EQ(ReadCallerTimeout(headers).source, TimeoutSource::kGrpc);
}

TEST(DeadlineHeaders, ZeroHasExpiredExceptFromEnvoy) {
  EXPECT_EQ(Read("x-request-timeout-ms", "0"), absl::ZeroDuration());
  EXPECT_EQ(Read("grpc-timeout", "0n"), absl::ZeroDuration());
  EXPECT_EQ(Read("x-stainless-read-timeout", "0"), absl::ZeroDuration());
  EXPECT_EQ(Read("x-envoy-expected-rq-timeout-ms", "0"), absl::InfiniteDuration());
}

TEST(DeadlineHeaders, HostileValuesAreIgnored) {
  const std::vector<std::string> values = {"",
                                           " ",
                                           "-1",
                                           "+1",
                                           "1e3",
                                           "0x10",
                                           "1,2",
                                           "1 2",
                                           "1s",
                                           "NaN",
                                           "inf",
                                           "None",
                                           "1.",
                                           ".5",
                                           "1.2.3",
                                           "--1",
                                           "\xFF",
                                           "1;2",
                                           "１２",
                                           "1\n2",
                                           "9999999999999999999999",
                                           std::string(5000, '9'),
                                           std::string("1\0", 2)};
  for (const std::string& value : values) {
    SCOPED_TRACE(value);
    EXPECT_EQ(Read("x-request-timeout-ms", value), absl::InfiniteDuration());
    EXPECT_EQ(Read("x-envoy-expected-rq-timeout-ms", value), absl::InfiniteDuration());
    EXPECT_EQ(Read("x-stainless-read-timeout", value), absl::InfiniteDuration());
    EXPECT_EQ(Read("grpc-timeout", value), absl::InfiniteDuration());
  }
}

TEST(DeadlineHeaders, ABadFieldDoesNotHideAGoodOne) {
  http::HeaderList headers;
  headers.Add("x-request-timeout-ms", "-5");
  headers.Add("x-request-timeout-ms", "5");
  headers.Add("grpc-timeout", "x");
  EXPECT_EQ(ReadCallerTimeout(headers).timeout, Milliseconds(5));
}

TEST(DeadlineHeaders, TheRemainingTimeIsSentRoundedDown) {
  Arena arena;
  EXPECT_EQ(FormatMillis(Milliseconds(1500), arena), "1500");
  EXPECT_EQ(FormatMillis(absl::Microseconds(2999), arena), "2");
  EXPECT_EQ(FormatMillis(absl::Nanoseconds(1), arena), "1");
  EXPECT_EQ(FormatMillis(-Seconds(1), arena), "1");
}

TEST(DeadlineHeaders, WhatIsSentIsReadBackAsNoMoreTime) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  for (int round = 0; round < 20000; ++round) {
    const absl::Duration remaining = absl::Nanoseconds(
        static_cast<int64_t>(1'000'000 + (random.Next() >> (1 + random.Below(40)))));
    Arena arena;
    const absl::Duration millis = Read("x-request-timeout-ms", FormatMillis(remaining, arena));
    ASSERT_LE(millis, remaining);
    ASSERT_GT(millis, remaining - Milliseconds(1));
  }
}

TEST(TimeoutPolicy, HasTheTiersOfTheSpecification) {
  EXPECT_EQ(TimeoutPolicy().overall, Seconds(300));
  EXPECT_EQ(TimeoutPolicy().per_try, absl::InfiniteDuration());
  EXPECT_EQ(TimeoutPolicy().ttft, Seconds(60));
  EXPECT_EQ(TimeoutPolicy().inter_token, Seconds(30));
  EXPECT_EQ(TimeoutPolicy().max_stream, absl::Hours(1));
  EXPECT_EQ(EmbeddingTimeouts().overall, Seconds(30));
  EXPECT_EQ(ChatUnaryTimeouts().overall, Seconds(300));
  EXPECT_EQ(ChatStreamTimeouts().overall, absl::InfiniteDuration());
  EXPECT_EQ(BatchTimeouts().overall, absl::Hours(1));
}

}  // namespace
}  // namespace outrigger::timeout
