// Settings of the rate limiter (semantics B2). Plain data; the defaults are the product's.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/config/filter_mode.h"
#include "proxy/config/units.h"

namespace outrigger::config {

enum class RateLimitAlgorithm { kTokenBucket, kLeakyBucket, kSlidingWindow };
enum class RateLimitUnit { kRequests };
enum class RateLimitHeaders { kIetf, kOpenai };

// One part of what tells buckets apart.
struct RateLimitKey {
  enum class Kind { kTenant, kRoute, kListener, kHeader };
  Kind kind = Kind::kTenant;
  std::string header;  // of kHeader, lower case

  friend bool operator==(const RateLimitKey&, const RateLimitKey&) = default;
};

struct RateLimitRule {
  std::string name = "requests";
  std::vector<RateLimitKey> key = {{}};  // empty: one bucket for all
  RateLimitAlgorithm algorithm = RateLimitAlgorithm::kTokenBucket;
  RateLimitUnit unit = RateLimitUnit::kRequests;
  RateSpec rate{1000, absl::Seconds(1)};
  std::optional<int64_t> burst;    // not set: the count of `rate`
  std::optional<FilterMode> mode;  // not set: the filter's
  int64_t max_keys = 10'000;

  int64_t EffectiveBurst() const { return burst.value_or(rate.count); }
};

struct RateLimitSettings {
  FilterMode mode = FilterMode::kEnforce;
  std::vector<RateLimitHeaders> headers = {RateLimitHeaders::kIetf};
  std::vector<RateLimitRule> rules;
};

}  // namespace outrigger::config
