// The documents that are made from the descriptions, and the example that goes with them.

#include <fstream>
#include <iterator>
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

}  // namespace
}  // namespace outrigger::config
