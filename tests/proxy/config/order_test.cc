// The order of the chain (semantics B0.1).

#include <algorithm>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "gtest/gtest.h"
#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

using Names = std::vector<std::string>;

Expected<Config, ConfigErrors> ParseOrder(const Names& names) {
  return Parse(fmt::format("filters: [{}]", fmt::join(names, ", ")), "f");
}

// The rules as the semantics word them, slow and obvious.
bool IsAllowed(const Names& names) {
  const auto at = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  const auto has = [&](const char* name) { return at(name) < std::ssize(names); };
  if (has("idempotency") && has("retry") && at("idempotency") > at("retry")) return false;
  if (has("retry") && has("timeout") && at("retry") > at("timeout")) return false;
  if (has("idempotency") && has("timeout") && at("idempotency") > at("timeout")) return false;
  return true;
}

TEST(FilterOrder, IsAcceptedOrRefusedForEveryPermutationOfEverySubset) {
  const Names all = {"breaker", "idempotency", "rate_limit", "retry", "timeout"};
  int allowed = 0;
  int refused = 0;
  for (unsigned subset = 0; subset < 1U << all.size(); ++subset) {
    Names names;
    for (size_t i = 0; i < all.size(); ++i) {
      if ((subset >> i & 1U) != 0) names.push_back(all[i]);
    }
    do {
      const Expected<Config, ConfigErrors> config = ParseOrder(names);
      ASSERT_EQ(config.ok(), IsAllowed(names)) << fmt::format("{}", fmt::join(names, " "));
      if (config.ok()) {
        ++allowed;
        ASSERT_EQ(config->filters.order.size(), names.size());
        for (size_t i = 0; i < names.size(); ++i) {
          EXPECT_EQ(FilterName(config->filters.order[i]), names[i]);
        }
      } else {
        ++refused;
      }
    } while (std::next_permutation(names.begin(), names.end()));
  }
  EXPECT_GT(allowed, 0);
  EXPECT_GT(refused, 0);
}

TEST(FilterOrder, IsRefusedWithTheReason) {
  const Expected<Config, ConfigErrors> inside = ParseOrder({"retry", "idempotency"});
  ASSERT_FALSE(inside.ok());
  EXPECT_EQ(
      inside.error().ToString(),
      "f:1:18: filters[1]: idempotency must stand before retry: inside retry it would wait for "
      "its own record");
  const Expected<Config, ConfigErrors> outside = ParseOrder({"timeout", "retry"});
  ASSERT_FALSE(outside.ok());
  EXPECT_EQ(outside.error().ToString(),
            "f:1:11: filters[0]: timeout must stand after retry: outside of retry its limits for "
            "one try would cut all tries together");
}

TEST(FilterOrder, RefusesAFilterThatStandsTwice) {
  const Expected<Config, ConfigErrors> config = ParseOrder({"retry", "breaker", "retry"});
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().ToString(), "f:1:27: filters[2]: retry stands in the chain twice");
}

TEST(FilterOrder, MayBeEmpty) {
  const Expected<Config, ConfigErrors> config = ParseOrder({});
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->filters.order.empty());
}

}  // namespace
}  // namespace outrigger::config
