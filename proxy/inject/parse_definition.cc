#include <string>

#include "fmt/format.h"
#include "proxy/inject/definition.h"

namespace outrigger::inject {
namespace {

absl::Status Wrong(std::string_view key, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("the definition's {} is not {}", key, what));
}

}  // namespace

absl::StatusOr<Json> ParseDefinition(std::string_view text) {
  Json definition = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!definition.is_object()) {
    return absl::InvalidArgumentError("the definition is not an object in JSON");
  }
  for (const char* key : {"sidecar", "volume", "labels", "annotations"}) {
    if (!definition.contains(key) || !definition[key].is_object()) return Wrong(key, "an object");
  }
  const Json& name = definition["sidecar"]["name"];
  if (!name.is_string() || name != Definition()["sidecar"]["name"]) {
    return Wrong("sidecar", "a container of the sidecar's name");
  }
  if (!definition["volume"]["configMap"].is_object()) {
    return Wrong("volume", "a volume of a ConfigMap");
  }
  if (!definition["portName"].is_string()) return Wrong("portName", "a string");
  if (!definition["appPreStopSeconds"].is_number_unsigned()) {
    return Wrong("appPreStopSeconds", "a number of seconds");
  }
  return definition;
}

}  // namespace outrigger::inject
