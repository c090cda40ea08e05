// What must hold between keys: references, names, orders, limits that depend on each other.

#pragma once

#include "proxy/config/config.h"
#include "proxy/config/yaml_source.h"

namespace outrigger::config {

// `diagnostics` holds what was wrong with single keys when `config` was read from `root`; no
// complaint is made that would rest on those. REQUIRES: `config` is complete (names and upstreams
// filled in, settings of routes merged).
void CheckConfig(const Config& config, const Node& root, Diagnostics& diagnostics);

}  // namespace outrigger::config
