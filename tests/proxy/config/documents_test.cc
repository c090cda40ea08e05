// The documents that are made from the descriptions, and the example that goes with them.

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

using Json = nlohmann::ordered_json;

const std::string kDocs = OUTRIGGER_DOCS_DIR;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ReferencePageTest, IsUpToDate) {
  EXPECT_TRUE(ReadFile(kDocs + "/configuration.md") == ReferencePage())
      << "docs/configuration.md differs from the descriptions of the keys; run\n"
         "  outrigger schema --format markdown > docs/configuration.md";
}

TEST(Example, StatesTheDefaults) {
  const Expected<Config, ConfigErrors> example = LoadFile(kDocs + "/example.yaml");
  ASSERT_TRUE(example.ok()) << example.error().ToString();
  const Expected<Config, ConfigErrors> nothing = Parse("", "f");
  ASSERT_TRUE(nothing.ok());
  Json stated = ToJson(*example);
  EXPECT_EQ(stated.at("routes").size(), 3);
  stated["routes"] = Json::array();  // the examples
  EXPECT_EQ(stated, ToJson(*nothing));
}

TEST(Example, StatesEveryKeyThatHasADefault) {
  const std::string text = ReadFile(kDocs + "/example.yaml");
  const Json schema = JsonSchema();
  int keys = 0;
  for (const auto& definition : schema.at("$defs").items()) {
    for (const auto& property : definition.value().at("properties").items()) {
      if (property.value().contains("not")) continue;  // not supported yet
      ++keys;
      EXPECT_NE(text.find(property.key()), std::string::npos)
          << definition.key() << "." << property.key();
    }
  }
  EXPECT_GT(keys, 100);
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
