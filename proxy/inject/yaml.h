// Manifests between YAML and JSON values. Comments and styles are lost, types are kept: a quoted
// "15020" stays text, which annotations depend on.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/inject/definition.h"

namespace outrigger::inject {

// The documents of a YAML stream, empty ones left out. InvalidArgument with line and column.
absl::StatusOr<std::vector<Json>> ReadYaml(std::string_view text);

// Block style, each document after a line `---`.
std::string WriteYaml(const std::vector<Json>& documents);

}  // namespace outrigger::inject
