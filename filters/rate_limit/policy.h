// What the `rate_limit` section of the configuration says. Plain values, filled in by the
// configuration's parser and shared, immutable, by everything that one snapshot of it made.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "filters/rate_limit/rate.h"

namespace outrigger::rate_limit {

enum class Mode { kEnforce, kShadow, kDisabled };
enum class Algorithm { kTokenBucket, kLeakyBucket, kSlidingWindow };
enum class Unit { kRequests, kTokens };

// One part of what a bucket belongs to; a rule without parts has a single bucket.
struct KeyPart {
  enum class Kind { kTenant, kRoute, kListener, kHeader };

  Kind kind = Kind::kTenant;
  std::string header;  // lower case; for kHeader

  friend bool operator==(const KeyPart&, const KeyPart&) = default;
};

struct Rule {
  std::string name;
  std::vector<KeyPart> key;
  Algorithm algorithm = Algorithm::kTokenBucket;
  Rate rate;
  int64_t burst = 0;  // 0: as much as the rate's count
  Unit unit = Unit::kRequests;
  Mode mode = Mode::kEnforce;
  size_t max_buckets = 10'000;

  int64_t effective_burst() const { return burst > 0 ? burst : rate.count(); }

  friend bool operator==(const Rule&, const Rule&) = default;
};

struct Policy {
  Mode mode = Mode::kEnforce;
  bool ietf_headers = true;
  bool openai_headers = false;
  std::vector<Rule> rules;

  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace outrigger::rate_limit
