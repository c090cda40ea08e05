// The sidecar as the chart helm/outrigger defines it: definition.json, which tools/chart/update
// writes and which is compiled in, or what a release with other values makes of it. Marks stand for
// what differs between pods: @upstream, @port, @drain.

#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/status/statusor.h"

namespace outrigger::inject {

using Json = nlohmann::ordered_json;

// sidecars (a container for each kind, native and container), kind, volume, labels, annotations,
// portName, appPreStopSeconds.
const Json& Definition();

// Another one, as text. InvalidArgument: says what is missing.
absl::StatusOr<Json> ParseDefinition(std::string_view text);

}  // namespace outrigger::inject
