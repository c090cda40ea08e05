#include "proxy/config/config.h"
#include "proxy/config/description.h"

namespace outrigger::config {

nlohmann::ordered_json JsonSchema() {
  Json definitions = Json::object();
  const Json root = DescribeConfig()->Schema(definitions);
  return {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
          {"title", "Configuration of Outrigger"},
          {"$ref", root.at("$ref")},
          {"$defs", std::move(definitions)}};
}

}  // namespace outrigger::config
