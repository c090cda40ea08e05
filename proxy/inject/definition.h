// The sidecar as the chart helm/outrigger defines it: definition.json, which tools/chart/update
// writes and which is compiled in. Marks stand for what differs between pods: @upstream, @port,
// @drain.

#pragma once

#include <nlohmann/json.hpp>

namespace outrigger::inject {

using Json = nlohmann::ordered_json;

// sidecar (a container), volume, labels, annotations, appPreStopSeconds.
const Json& Definition();

}  // namespace outrigger::inject
