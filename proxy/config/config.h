// The configuration of the proxy as plain data: what the file states, over the defaults.
//
//   Expected<Config, ConfigErrors> config = LoadFile("/etc/outrigger/outrigger.yaml");
//   if (!config.ok()) { fmt::print(stderr, "{}\n", config.error().ToString()); return 1; }
//
// Names mirror the keys of the file, which docs/configuration.md lists. A Config that came from
// Parse, LoadFile or Default is valid: names are unique, references resolve, values are in range.
// It has no identity and may be copied; nothing in it changes after parsing, so that workers may
// share one as a `std::shared_ptr<const Config>`.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "proxy/base/expected.h"
#include "proxy/config/diagnostics.h"
#include "proxy/config/filter_settings.h"
#include "proxy/config/listener_config.h"
#include "proxy/config/route_config.h"
#include "proxy/config/upstream_config.h"

namespace outrigger::config {

enum class TenantSource { kMtls, kAuthorization };

// Whom a request is accounted to: the first source that applies, else "anonymous".
struct TenantConfig {
  std::vector<TenantSource> from = {TenantSource::kMtls, TenantSource::kAuthorization};
  std::string header;  // empty: none; asked before `from`, lower case
};

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class AccessLog { kAll, kErrors, kNone };

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  AccessLog access = AccessLog::kAll;
};

struct TracingConfig {
  std::monostate otlp;  // none is the only value yet
  double sample = 0.01;
};

struct MetricsConfig {
  int64_t max_label_values = 1000;
};

enum class ReadinessFlip { kBreaker };

// What besides the check of the app makes the pod unready (HL-4).
struct ReadinessConfig {
  std::vector<ReadinessFlip> flip_on;
  absl::Duration max_unready_for = absl::Seconds(30);

  friend bool operator==(const ReadinessConfig&, const ReadinessConfig&) = default;
};

struct Config {
  std::optional<int64_t> workers = 1;   // not set: by the CPU limit of the cgroup
  std::optional<size_t> memory_budget;  // not set: min(48 MiB, 75 % of the cgroup's limit)
  AdminConfig admin;
  std::vector<ListenerConfig> listeners = {{}};
  std::vector<UpstreamConfig> upstreams = {{}};
  std::vector<RouteConfig> routes;  // first match wins
  TenantConfig tenant;
  FilterChain filters;
  ReadinessConfig readiness;
  LogConfig log;
  TracingConfig tracing;
  MetricsConfig metrics;

  // Not in the file: the built-in presets as routes, for requests that none of `routes` claims.
  std::vector<RouteConfig> preset_routes;
};

// `name` stands for the file in messages. With `running`, a reload: what cannot change while that
// is in use is an error as well.
Expected<Config, ConfigErrors> Parse(std::string_view text, std::string name,
                                     const Config* running = nullptr);

// Errors in reading the file are reported like errors in it, without line and column.
Expected<Config, ConfigErrors> LoadFile(const std::string& path, const Config* running = nullptr);

// The configuration without a file: everything at its default, one upstream. `upstream` is
// host:port, unix:/path or http://host[:port].
Expected<Config, ConfigErrors> Default(std::string_view upstream, const Config* running = nullptr);

// Where a configuration comes from.
struct Source {
  std::string file;  // may be empty when `upstream` is not
  std::string
      upstream;  // as in Default(); takes the place of the endpoints of the file's first upstream
  bool is_file_optional =
      false;  // a file that does not exist is as an empty one; `upstream` is stated
};
Expected<Config, ConfigErrors> Load(const Source& source, const Config* running = nullptr);

// The effective values in the form of the file; Parse reads the dump back to an equal
// configuration.
nlohmann::ordered_json ToJson(const Config& config);

// JSON Schema (draft 2020-12) of the file.
nlohmann::ordered_json JsonSchema();

// The reference page docs/configuration.md.
std::string ReferencePage();

}  // namespace outrigger::config
