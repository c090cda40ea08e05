#include "tools/mock-ai/json_fields.h"

namespace outrigger::mock_ai {

Json ParseJson(std::string_view text) {
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* Field(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(std::string(name));
  return found == object.end() ? nullptr : &*found;
}

bool BoolField(const Json& object, std::string_view name, bool fallback) {
  const Json* field = Field(object, name);
  return field != nullptr && field->is_boolean() ? field->get<bool>() : fallback;
}

int64_t IntField(const Json& object, std::string_view name, int64_t fallback) {
  const Json* field = Field(object, name);
  return field != nullptr && field->is_number_integer() ? field->get<int64_t>() : fallback;
}

std::string StringField(const Json& object, std::string_view name, std::string_view fallback) {
  const Json* field = Field(object, name);
  return field != nullptr && field->is_string() ? field->get<std::string>() : std::string(fallback);
}

}  // namespace outrigger::mock_ai
