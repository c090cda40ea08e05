// The JSON Schema accepts what the parser accepts and refuses the same keys and words.

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "proxy/config/config.h"
#include "proxy/config/yaml_source.h"
#include "tests/proxy/config/schema_validator.h"

namespace outrigger::config {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> ViolationsOf(std::string_view yaml) {
  const Expected<NodePtr, ConfigError> root = LoadYaml(yaml);
  EXPECT_TRUE(root.ok()) << yaml;
  return Violations(JsonSchema(), ToPlainJson(**root));
}

TEST(Schema, AcceptsTheExampleAndTheDump) {
  std::ifstream file(std::string(OUTRIGGER_DOCS_DIR) + "/example.yaml", std::ios::binary);
  const std::string example{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(ViolationsOf(example), IsEmpty());
  const Expected<Config, ConfigErrors> config = Parse(example, "example");
  ASSERT_TRUE(config.ok());
  EXPECT_THAT(Violations(JsonSchema(), ToJson(*config)), IsEmpty());
}

TEST(Schema, AcceptsWhatTheParserAccepts) {
  for (const std::string_view yaml :
       {"",
        "workers: auto",
        "listeners: [{unmatched: 404}]",
        "tracing: {sample: 0.5}",
        "tracing: {sample: 1}",
        "memory_budget: 2097152",
        "filters: []",
        "filters: [retry]",
        "filters:\n- retry:\n- timeout: {per_try: 1.5s, overall: 1h30m}",
        "admin: {drain: {lame_duck: 0}}",
        "filters: [{idempotency: {in_flight: {wait: 5s}}}]",
        "filters: [{retry: {backoff: provider, causes: {\"503\": {retries: 1}}}}]",
        "filters: [{breaker: {probe: {path: /h}}}]",
        "filters: [{idempotency: {fingerprint: exact}}]",
        "filters: [{idempotency: {fingerprint: json}}]",
        "filters: [{idempotency: {fingerprint: {json: {ignore: [/a, /b~0/~1/0, /, //x]}}}}]",
        "listeners: [{tls: {cert: /c, key: /k, client_ca: /a, client_auth: require, "
        "client_san: [\"spiffe://a.org/*\", \"spiffe://a.org/sa/x\", \"dns:a\", \"dns:*.a.b\"]}}]",
        "listeners: [{tls: none}]",
        "upstreams: [{tls: {}}]",
        "upstreams: [{tls: none}]",
        "filters: [{rate_limit: {rules: [{key: [{header: x}], rate: 5/10s}]}}]",
        "routes: [{match: {template: \"/a/*\", headers: {x: \"*\"}}, effects: auto}]"}) {
    EXPECT_TRUE(Parse(yaml, "f").ok()) << yaml;
    EXPECT_THAT(ViolationsOf(yaml), IsEmpty()) << yaml;
  }
}

TEST(Schema, RefusesWhatTheParserRefuses) {
  for (const std::string_view yaml : {"wrokers: 1",
                                      "workers: 0",
                                      "workers: \"2\"",
                                      "workers: many",
                                      "listeners: []",
                                      "listeners: [{tls: {cert: a}}]",
                                      "upstreams: [{tls: {server_san: [web]}}]",
                                      "listeners: [{protocol: http3}]",
                                      "log: {level: loud}",
                                      "filters: [{retries: {}}]",
                                      "filters: [{retry: {}, timeout: {}}]",
                                      "filters: [{retry: {attempts: 11}}]",
                                      "filters: [{timeout: {overall: 5}}]",
                                      "filters: [{timeout: {overall: 5 s}}]",
                                      "filters: [{breaker: {mode: true}}]",
                                      "filters: [{breaker: {failure_ratio: 0}}]",
                                      "filters: [{retry: {hedge: {}}}]",
                                      "filters: [{retry: {causes: {sometimes: {}}}}]",
                                      "memory_budget: lots",
                                      "filters: [{rate_limit: {rules: [{rate: 100}]}}]",
                                      "upstreams: [{endpoints: [a]}]",
                                      "filters: [{rate_limit: {headers: [ietf, ietf]}}]",
                                      "filters: [{idempotency: {fingerprint: xml}}]",
                                      "filters: [{idempotency: {fingerprint: {json: {ignore: "
                                      "[user]}}}}]",
                                      "filters: [{idempotency: {fingerprint: {json: {ignore: "
                                      "[/a~2]}}}}]",
                                      "tracing: {sample: 2}"}) {
    EXPECT_FALSE(Parse(yaml, "f").ok()) << yaml;
    EXPECT_THAT(ViolationsOf(yaml), Not(IsEmpty())) << yaml;
  }
}

// Collects every $ref below `json`.
void CollectReferences(const Json& json, std::set<std::string>& references) {
  if (json.is_object() && json.contains("$ref")) references.insert(json.at("$ref"));
  if (!json.is_structured()) return;
  for (const Json& part : json) CollectReferences(part, references);
}

TEST(Schema, RefersOnlyToWhatItDefines) {
  const Json schema = JsonSchema();
  EXPECT_EQ(schema.at("$schema"), "https://json-schema.org/draft/2020-12/schema");
  std::set<std::string> references;
  CollectReferences(schema, references);
  EXPECT_EQ(references.size(), schema.at("$defs").size());
  for (const std::string& reference : references) {
    EXPECT_TRUE(schema.contains(Json::json_pointer(reference.substr(1)))) << reference;
  }
}

TEST(Schema, DescribesEveryKeyAndAllowsNoOther) {
  const Json schema = JsonSchema();
  for (const auto& definition : schema.at("$defs").items()) {
    EXPECT_EQ(definition.value().at("additionalProperties"), false) << definition.key();
    for (const auto& property : definition.value().at("properties").items()) {
      EXPECT_FALSE(property.value().at("description").get<std::string>().empty())
          << definition.key() << "." << property.key();
    }
  }
}

TEST(Schema, StatesDefaultsRangesAndWords) {
  const Json definitions = JsonSchema().at("$defs");
  const Json& retry = definitions.at("retry").at("properties");
  EXPECT_EQ(retry.at("attempts").at("default"), 3);
  EXPECT_EQ(retry.at("attempts").at("minimum"), 1);
  EXPECT_EQ(retry.at("attempts").at("maximum"), 10);
  EXPECT_EQ(retry.at("commit").at("enum"), (Json{"content", "headers"}));
  EXPECT_TRUE(retry.at("hedge").contains("not"));
  const Json& timeout = definitions.at("timeout").at("properties");
  EXPECT_EQ(timeout.at("overall").at("default"), "300s");
  EXPECT_EQ(timeout.at("per_try").at("anyOf").at(0).at("const"), "none");
}

}  // namespace
}  // namespace outrigger::config
