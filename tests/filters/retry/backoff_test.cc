#include "filters/retry/backoff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace outrigger::retry {
namespace {

using absl::Milliseconds;
using absl::Seconds;

// Probability that a sample of this size from U(low, high) is at least this far from it
// (Kolmogorov's limit distribution).
double KolmogorovSmirnovP(std::vector<double> sample, double low, double high) {
  std::sort(sample.begin(), sample.end());
  const double n = static_cast<double>(sample.size());
  double distance = 0;
  for (size_t i = 0; i < sample.size(); ++i) {
    const double cdf = std::clamp((sample[i] - low) / (high - low), 0.0, 1.0);
    distance = std::max(
        {distance, (static_cast<double>(i) + 1) / n - cdf, cdf - static_cast<double>(i) / n});
  }
  const double lambda = (std::sqrt(n) + 0.12 + 0.11 / std::sqrt(n)) * distance;
  double sum = 0;
  for (int k = 1; k <= 100; ++k) {
    sum += (k % 2 == 1 ? 2.0 : -2.0) * std::exp(-2.0 * k * k * lambda * lambda);
  }
  return std::clamp(sum, 0.0, 1.0);
}

// The n-th waits (from 0) of many requests, in seconds.
std::vector<double> Waits(const BackoffPolicy& policy, int n, uint64_t seed) {
  Random random(seed);
  std::vector<double> waits;
  for (int i = 0; i < 5000; ++i) {
    Backoff backoff(policy, random);
    for (int skipped = 0; skipped < n; ++skipped) backoff.Next();
    waits.push_back(absl::ToDoubleSeconds(backoff.Next()));
  }
  return waits;
}

constexpr uint64_t kSeeds[] = {1, 20240611, 987654321};

TEST(Backoff, TheTestOfDistributionsCanFail) {
  const std::vector<double> waits = Waits(LocalBackoff(), 0, 1);
  EXPECT_LT(KolmogorovSmirnovP(waits, 0, 0.027), 0.01);
  EXPECT_LT(KolmogorovSmirnovP(waits, 0.002, 0.025), 0.01);
}

TEST(Backoff, FullJitterIsUniformUpToTheWindow) {
  const double windows[] = {0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0};
  for (const uint64_t seed : kSeeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    for (size_t n = 0; n < std::size(windows); ++n) {
      const auto waits = Waits(LocalBackoff(), static_cast<int>(n), seed);
      EXPECT_GT(KolmogorovSmirnovP(waits, 0, windows[n]), 0.01) << n;
    }
  }
}

TEST(Backoff, TheProviderPresetIsWhatTheSdksDo) {
  const double windows[] = {0.5, 1, 2, 4, 8, 8};
  for (const uint64_t seed : kSeeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    for (size_t n = 0; n < std::size(windows); ++n) {
      const auto waits = Waits(ProviderBackoff(), static_cast<int>(n), seed);
      EXPECT_GT(KolmogorovSmirnovP(waits, 0.75 * windows[n], windows[n]), 0.01) << n;
    }
  }
}

TEST(Backoff, EqualJitterAlwaysWaitsHalfOfTheWindow) {
  const BackoffPolicy policy = {BackoffKind::kEqualJitter, Seconds(1), Seconds(60)};
  const double windows[] = {1, 2, 4, 8, 16, 32, 60, 60};
  for (const uint64_t seed : kSeeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    for (size_t n = 0; n < std::size(windows); ++n) {
      const auto waits = Waits(policy, static_cast<int>(n), seed);
      EXPECT_GT(KolmogorovSmirnovP(waits, windows[n] / 2, windows[n]), 0.01) << n;
    }
  }
}

TEST(Backoff, DecorrelatedStartsUniformAndStaysWithinItsBounds) {
  const BackoffPolicy policy = {BackoffKind::kDecorrelated, Milliseconds(100), Seconds(2)};
  for (const uint64_t seed : kSeeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_GT(KolmogorovSmirnovP(Waits(policy, 0, seed), 0.1, 0.3), 0.01);
    Random random(seed);
    for (int request = 0; request < 1000; ++request) {
      Backoff backoff(policy, random);
      absl::Duration previous = policy.base;
      for (int n = 0; n < 10; ++n) {
        const absl::Duration wait = backoff.Next();
        ASSERT_GE(wait, policy.base);
        ASSERT_LE(wait, policy.cap);
        ASSERT_LE(wait, 3 * previous + absl::Nanoseconds(1));
        previous = wait;
      }
    }
  }
}

TEST(Backoff, FixedAndExponentialHaveNoJitter) {
  Random random(1);
  Backoff fixed({BackoffKind::kFixed, Seconds(1), Seconds(10)}, random);
  Backoff exponential({BackoffKind::kExponential, Seconds(1), Seconds(10)}, random);
  for (const int seconds : {1, 2, 4, 8, 10, 10}) {
    EXPECT_EQ(fixed.Next(), Seconds(1));
    EXPECT_EQ(exponential.Next(), Seconds(seconds));
  }
}

TEST(Backoff, NeverOverflowsItsCap) {
  for (const BackoffKind kind : {BackoffKind::kExponential, BackoffKind::kFullJitter,
                                 BackoffKind::kEqualJitter, BackoffKind::kDecorrelated}) {
    Random random(1);
    Backoff backoff({kind, absl::Nanoseconds(1), absl::Hours(1)}, random);
    for (int n = 0; n < 10000; ++n) {
      const absl::Duration wait = backoff.Next();
      ASSERT_GE(wait, absl::ZeroDuration());
      ASSERT_LE(wait, absl::Hours(1));
    }
  }
}

TEST(Backoff, ABaseOfZeroNeverWaits) {
  for (const BackoffKind kind :
       {BackoffKind::kFixed, BackoffKind::kExponential, BackoffKind::kFullJitter,
        BackoffKind::kEqualJitter, BackoffKind::kDecorrelated}) {
    Random random(1);
    Backoff backoff({kind, absl::ZeroDuration(), Seconds(1)}, random);
    for (int n = 0; n < 5; ++n) EXPECT_EQ(backoff.Next(), absl::ZeroDuration());
  }
}

}  // namespace
}  // namespace outrigger::retry
