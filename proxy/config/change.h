// How one configuration differs from the one before it, for a reload. Pure.

#pragma once

#include <string>

#include "proxy/config/config.h"
#include "proxy/config/yaml_source.h"

namespace outrigger::config {

// Reports what cannot change while the proxy runs: the threads, the admin port, and how many label
// values are told apart. `root` is what `next` was read from.
void CheckChange(const Config& running, const Config& next, const Node& root,
                 Diagnostics& diagnostics);

// Texts that are equal when the settings are, whatever keys there may be.

// All that a worker's connections to the upstream depend on, which its health check is not.
std::string ConnectionSettingsOf(const UpstreamConfig& upstream);
// All.
std::string SettingsOf(const UpstreamConfig& upstream);
// All that is agreed on in a handshake. REQUIRES: there is TLS.
std::string TlsSettingsOf(const ListenerConfig& listener);
std::string TlsSettingsOf(const UpstreamConfig& upstream);

}  // namespace outrigger::config
