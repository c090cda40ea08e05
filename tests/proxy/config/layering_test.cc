// Where the settings of a request come from: defaults, preset, chain, route.

#include <string>

#include "gtest/gtest.h"
#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

Config MustParse(std::string_view text) {
  Expected<Config, ConfigErrors> config = Parse(text, "f");
  EXPECT_TRUE(config.ok()) << config.error().ToString();
  return config.ok() ? *std::move(config) : Config{};
}

const RouteConfig& PresetRouteNamed(const Config& config, std::string_view name) {
  for (const RouteConfig& route : config.preset_routes) {
    if (route.name == name) return route;
  }
  ADD_FAILURE() << "no preset route " << name;
  return config.preset_routes.front();
}

TEST(Layering, MergesKeysOfARouteOverTheChain) {
  const Config config = MustParse(R"(
filters:
  - retry: {attempts: 4, backoff: {base: 50ms, cap: 2s}, causes: {timeout: {retries: 1}}}
  - timeout: {ttft: 20s}
routes:
  - filters: {retry: {backoff: {cap: 3s}, causes: {"503": {retries: 2}}}}
)");
  const RetrySettings& retry = config.routes[0].filters.retry;
  EXPECT_EQ(retry.attempts, 4);
  EXPECT_EQ(retry.backoff.base, absl::Milliseconds(50));
  EXPECT_EQ(retry.backoff.cap, absl::Seconds(3));
  EXPECT_EQ(retry.max_retry_after, absl::Seconds(30));
  EXPECT_EQ(config.routes[0].filters.timeout.ttft, absl::Seconds(20));
  // Mappings with keys of the user's choice and lists are replaced.
  EXPECT_EQ(retry.causes.size(), 1);
  EXPECT_EQ(retry.causes.count("503"), 1);
  // The chain is as it was.
  EXPECT_EQ(config.filters.settings.retry.backoff.cap, absl::Seconds(2));
}

TEST(Layering, ReplacesTheRulesOfTheChain) {
  const Config config = MustParse(R"(
filters:
  - rate_limit: {mode: shadow, rules: [{name: a, rate: 1/s}, {name: b, rate: 2/s}]}
routes:
  - filters: {rate_limit: {rules: [{name: c, rate: 3/m}]}}
)");
  const RateLimitSettings& settings = config.routes[0].filters.rate_limit;
  EXPECT_EQ(settings.mode, FilterMode::kShadow);
  ASSERT_EQ(settings.rules.size(), 1);
  EXPECT_EQ(settings.rules[0].name, "c");
  EXPECT_EQ(settings.rules[0].EffectiveBurst(), 3);
}

TEST(Layering, PutsPresetsBelowWhatTheFileStates) {
  const std::string routes = "routes: [{preset: embeddings}, {preset: none}]\n";
  const Config silent = MustParse(routes);
  EXPECT_EQ(silent.routes[0].filters.timeout.overall, absl::Seconds(30));
  EXPECT_EQ(silent.routes[1].filters.timeout.overall, absl::Seconds(300));
  const Config chain = MustParse(routes + "filters: [{timeout: {overall: 45s}}]");
  EXPECT_EQ(chain.routes[0].filters.timeout.overall, absl::Seconds(45));
  const Config route = MustParse(
      "routes: [{preset: embeddings, filters: {timeout: {overall: 50s}}}]\n"
      "filters: [{timeout: {overall: 45s}}]");
  EXPECT_EQ(route.routes[0].filters.timeout.overall, absl::Seconds(50));
}

TEST(Layering, AppliesToThePresetsByPath) {
  const Config config = MustParse("filters: [{retry: {attempts: 2}}, timeout]");
  const RouteConfig& chat = PresetRouteNamed(config, "openai-chat");
  EXPECT_EQ(chat.match.path_template, "/v1/chat/completions");
  EXPECT_EQ(chat.filters.retry.attempts, 2);
  EXPECT_EQ(chat.filters.timeout.overall, absl::Seconds(300));
  EXPECT_EQ(chat.filters.timeout.max_stream, absl::Hours(1));
  EXPECT_EQ(PresetRouteNamed(config, "embeddings").filters.timeout.overall, absl::Seconds(30));
  EXPECT_EQ(PresetRouteNamed(config, "rerank").filters.timeout.overall, absl::Seconds(30));
}

TEST(Layering, IsTheSameWithoutAFile) {
  const Expected<Config, ConfigErrors> config = Default("127.0.0.1:9000");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->preset_routes.size(), MustParse("").preset_routes.size());
  EXPECT_EQ(PresetRouteNamed(*config, "rerank").filters.timeout.overall, absl::Seconds(30));
}

TEST(Layering, KeepsAFilterWithoutValuesAtItsDefaults) {
  const Config config = MustParse("filters:\n- retry:\n- timeout\n");
  ASSERT_EQ(config.filters.order.size(), 2);
  EXPECT_EQ(config.filters.settings.retry.attempts, RetrySettings{}.attempts);
}

TEST(Layering, RemembersWhereListenersUpstreamsAndRoutesStand) {
  const Config config =
      MustParse("listeners:\n- name: a\nupstreams:\n- name: b\nroutes:\n- name: c\n- name: d\n");
  EXPECT_EQ(config.listeners[0].where, (SourceLocation{2, 3}));
  EXPECT_EQ(config.upstreams[0].where, (SourceLocation{4, 3}));
  EXPECT_EQ(config.routes[1].where, (SourceLocation{7, 3}));
}

}  // namespace
}  // namespace outrigger::config
