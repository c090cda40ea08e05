// As much of JSON Schema (draft 2020-12) as our schema uses; any other keyword is a complaint, so
// that nothing goes unchecked.
//
//   EXPECT_EQ(Violations(JsonSchema(), value), std::vector<std::string>{});

#pragma once

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "proxy/config/yaml_source.h"

namespace outrigger::config {

// What `value` breaks, each with its place; empty if the schema accepts it.
std::vector<std::string> Violations(const nlohmann::ordered_json& schema,
                                    const nlohmann::ordered_json& value);

// The JSON that a YAML tool hands to a validator: plain scalars become numbers and booleans.
nlohmann::ordered_json ToPlainJson(const Node& node);

}  // namespace outrigger::config
