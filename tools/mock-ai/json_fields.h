// Reading and writing JSON without exceptions.
//
//   Json body = ParseJson(text);
//   if (!body.is_object()) ...
//   bool is_stream = BoolField(body, "stream", false);

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace outrigger::mock_ai {

// Keeps the order in which members were added, as the real services do.
using Json = nlohmann::ordered_json;

// A discarded value (no object, no array, nothing) when the text is not JSON.
Json ParseJson(std::string_view text);
// Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& value);

// The member when it is there and of that type, otherwise the fallback.
bool BoolField(const Json& object, std::string_view name, bool fallback);
int64_t IntField(const Json& object, std::string_view name, int64_t fallback);
std::string StringField(const Json& object, std::string_view name, std::string_view fallback);
// The member or nullptr.
const Json* Field(const Json& object, std::string_view name);

}  // namespace outrigger::mock_ai
