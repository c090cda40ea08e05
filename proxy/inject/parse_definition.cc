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
  for (const char* key : {"sidecars", "volume", "labels", "annotations"}) {
    if (!definition.contains(key) || !definition[key].is_object()) return Wrong(key, "an object");
  }
  for (const auto& [kind, sidecar] : Definition()["sidecars"].items()) {
    const Json& given = definition["sidecars"][kind];
    if (!given.is_object() || !given.contains("name") || given["name"] != sidecar["name"]) {
      return Wrong(fmt::format("sidecars.{}", kind), "a container of the sidecar's name");
    }
  }
  const Json& kind = definition["kind"];
  if (!kind.is_string() || !definition["sidecars"].contains(kind.get<std::string>())) {
    return Wrong("kind", "native or container");
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
