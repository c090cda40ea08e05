#include "proxy/config/section.h"

namespace outrigger::config {

std::string ToFlowYaml(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_null()) return "";
  if (!json.is_structured()) return json.dump();
  std::string parts;
  for (const auto& item : json.items()) {
    if (!parts.empty()) parts += ", ";
    if (json.is_object()) parts += item.key() + ": ";
    parts += ToFlowYaml(item.value());
  }
  return json.is_object() ? "{" + parts + "}" : "[" + parts + "]";
}

std::string internal::UnknownKey(std::string_view key, const std::vector<std::string_view>& known) {
  const std::string_view meant = ClosestMatch(key, known);
  if (!meant.empty()) return fmt::format("unknown key, did you mean {}?", meant);
  return fmt::format("unknown key; known here: {}", JoinAlternatives(known));
}

}  // namespace outrigger::config
