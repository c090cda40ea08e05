#include "proxy/chain/limit_filters.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proxy/chain/policies.h"

namespace outrigger::chain {
namespace {

config::RateLimitSettings OneRule(config::FilterMode mode, int64_t per_second) {
  config::RateLimitSettings settings;
  settings.mode = mode;
  config::RateLimitRule& rule = settings.rules.emplace_back();
  rule.name = "requests";
  rule.rate = {per_second, absl::Seconds(1)};
  return settings;
}

// Of a route "chat" with the settings `of_route`.
std::string ScopeOf(const config::RateLimitSettings& of_route,
                    const config::RateLimitSettings& of_chain) {
  return LimiterScope(ToPolicy(of_route).rules.front(), "chat", ToPolicy(of_chain));
}

TEST(LimiterScope, RuleOfTheChainHasOneSetOfBucketsForAllRoutes) {
  const config::RateLimitSettings of_chain = OneRule(config::FilterMode::kEnforce, 10);
  EXPECT_EQ(ScopeOf(of_chain, of_chain), "requests");
}

TEST(LimiterScope, RuleThatTheRouteChangesHasItsOwnBuckets) {
  const config::RateLimitSettings of_chain = OneRule(config::FilterMode::kEnforce, 10);
  EXPECT_EQ(ScopeOf(OneRule(config::FilterMode::kEnforce, 11), of_chain), "route/chat/requests");
}

TEST(LimiterScope, ShadowRuleNeverSpendsFromAnEnforcedOne) {
  const config::RateLimitSettings of_chain = OneRule(config::FilterMode::kEnforce, 10);
  EXPECT_EQ(ScopeOf(OneRule(config::FilterMode::kShadow, 10), of_chain), "shadow/requests");
  EXPECT_EQ(ScopeOf(OneRule(config::FilterMode::kShadow, 11), of_chain),
            "shadow/route/chat/requests");
}

TEST(Policies, RuleWithoutAModeHasThatOfTheFilter) {
  config::RateLimitSettings settings;
  settings.mode = config::FilterMode::kShadow;
  settings.rules.resize(2);
  settings.rules[1].mode = config::FilterMode::kEnforce;
  const rate_limit::Policy policy = ToPolicy(settings);
  EXPECT_EQ(policy.rules[0].mode, rate_limit::Mode::kShadow);
  EXPECT_EQ(policy.rules[1].mode, rate_limit::Mode::kEnforce);
}

TEST(Policies, RateLimitDefaultsOfConfigurationAndFilterAgree) {
  config::RateLimitSettings settings;
  settings.rules.resize(1);
  const rate_limit::Policy policy = ToPolicy(settings);
  EXPECT_TRUE(policy.ietf_headers);
  EXPECT_FALSE(policy.openai_headers);
  const rate_limit::Rule& rule = policy.rules.front();
  EXPECT_EQ(rule.key, (std::vector<rate_limit::KeyPart>{{}}));
  EXPECT_EQ(rule.effective_burst(), rule.rate.count());
  EXPECT_EQ(rule.max_buckets, rate_limit::Rule().max_buckets);
}

TEST(Policies, BreakerDefaultsOfConfigurationAndFilterAgree) {
  EXPECT_EQ(ToPolicy(config::BreakerSettings()), breaker::Policy());
}

}  // namespace
}  // namespace outrigger::chain
