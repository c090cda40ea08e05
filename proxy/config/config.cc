#include "proxy/config/config.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "fmt/format.h"
#include "proxy/config/change.h"
#include "proxy/config/checks.h"
#include "proxy/config/description.h"
#include "proxy/config/presets.h"
#include "proxy/config/yaml_source.h"

namespace outrigger::config {
namespace {

// What is wrong with a node was reported when the whole file was read.
void ReadAgain(const ValueType<FilterSettings>& filters, const Node* node,
               FilterSettings& settings) {
  Diagnostics reported_before;
  if (node != nullptr) filters.Parse(*node, "", reported_before, settings);
}

// The chain's settings for requests of `preset`: what the file states wins over the preset.
FilterSettings ChainSettings(const ValueType<FilterSettings>& filters, Preset preset,
                             const Node* chain) {
  FilterSettings settings;
  ApplyPreset(preset, settings);
  if (chain == nullptr) return settings;
  for (const NodePtr& filter : chain->items) {
    if (filter->kind == Node::Kind::kMap) ReadAgain(filters, filter.get(), settings);
  }
  return settings;
}

RouteConfig PresetRoute(const PresetPath& preset_path, FilterSettings settings) {
  RouteConfig route;
  route.name = preset_path.name;
  route.match.path_template = preset_path.path_template;
  route.match.methods = {"POST"};
  route.preset = preset_path.preset;
  route.filters = std::move(settings);
  return route;
}

// Fills in what depends on more than one key.
void Complete(const Node& root, Config& config) {
  for (ListenerConfig& listener : config.listeners) {
    if (listener.upstream.empty()) listener.upstream = config.upstreams.front().name;
  }
  const Type<FilterSettings> filters = DescribeFilters();
  const Node* chain = root.Find("filters");
  std::map<Preset, FilterSettings> by_preset;
  for (const Preset preset :
       {Preset::kNone, Preset::kOpenai, Preset::kAnthropic, Preset::kEmbeddings, Preset::kKserve}) {
    by_preset[preset] = ChainSettings(*filters, preset, chain);
  }
  for (size_t i = 0; i < config.routes.size(); ++i) {
    RouteConfig& route = config.routes[i];
    if (route.name.empty()) route.name = fmt::format("route-{}", i + 1);
    route.filters = by_preset[route.preset];
    ReadAgain(*filters, root.Find("routes")->items[i]->Find("filters"), route.filters);
  }
  for (const PresetPath& preset_path : kPresetPaths) {
    config.preset_routes.push_back(PresetRoute(preset_path, by_preset[preset_path.preset]));
  }
}

ConfigErrors OneError(std::string file, std::string message) {
  return {std::move(file), {{SourceLocation{}, "", std::move(message)}}};
}

// Makes `text` the only endpoint of the first upstream.
std::optional<ConfigErrors> SetUpstream(std::string_view upstream, Config& config) {
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  std::string text(upstream);
  const bool is_tls = upstream.starts_with(kHttps);
  if (is_tls || upstream.starts_with(kHttp)) {
    text.erase(0, is_tls ? kHttps.size() : kHttp.size());
    if (text.ends_with('/')) text.pop_back();
    const size_t after_host = text.rfind(']');
    if (text.find(':', after_host == text.npos ? 0 : after_host) == text.npos) {
      text += is_tls ? ":443" : ":80";
    }
  }
  absl::StatusOr<Address> address = ParseAddress(text, AddressUse::kConnect);
  if (!address.ok()) return OneError("--upstream", std::string(address.status().message()));
  UpstreamConfig& first = config.upstreams.front();
  first.endpoints = {*std::move(address)};
  if (is_tls && !first.tls.has_value()) first.tls.emplace();
  return std::nullopt;
}

}  // namespace

Expected<Config, ConfigErrors> Parse(std::string_view text, std::string name,
                                     const Config* running) {
  Expected<NodePtr, ConfigError> root = LoadYaml(text);
  if (!root.ok()) return ConfigErrors{std::move(name), {root.error()}};

  Config config;
  Diagnostics diagnostics;
  DescribeConfig()->Parse(**root, "", diagnostics, config);
  Complete(**root, config);
  CheckConfig(config, **root, diagnostics);
  // Of a wrong file nobody knows what it would change: a misspelt key is not one left out.
  if (running != nullptr && diagnostics.empty()) {
    CheckChange(*running, config, **root, diagnostics);
  }
  if (!diagnostics.empty()) return std::move(diagnostics).Finish(std::move(name));
  return config;
}

Expected<Config, ConfigErrors> LoadFile(const std::string& path, const Config* running) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  // One byte more than LoadYaml accepts is enough to be told that the file is too large.
  constexpr std::streamsize kEnough = (1 << 20) + 1;
  text.resize(kEnough);
  errno = 0;
  if (!file.is_open() || !(file.read(text.data(), kEnough) || file.eof())) {
    const std::string reason = std::generic_category().message(errno != 0 ? errno : ENOENT);
    return OneError(path, fmt::format("cannot read the file: {}", reason));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return Parse(text, path, running);
}

Expected<Config, ConfigErrors> Default(std::string_view upstream, const Config* running) {
  Config config;
  std::optional<ConfigErrors> errors = SetUpstream(upstream, config);
  if (errors.has_value()) return *std::move(errors);
  const Node nothing;
  Complete(nothing, config);
  Diagnostics diagnostics;
  if (running != nullptr) CheckChange(*running, config, nothing, diagnostics);
  if (!diagnostics.empty()) return std::move(diagnostics).Finish("--upstream");
  return config;
}

Expected<Config, ConfigErrors> Load(const Source& source, const Config* running) {
  if (source.file.empty()) return Default(source.upstream, running);
  struct stat about {};
  if (source.is_file_optional && stat(source.file.c_str(), &about) != 0 && errno == ENOENT) {
    return Default(source.upstream, running);
  }
  Expected<Config, ConfigErrors> config = LoadFile(source.file, running);
  if (!config.ok() || source.upstream.empty()) return config;
  std::optional<ConfigErrors> errors = SetUpstream(source.upstream, *config);
  if (errors.has_value()) return *std::move(errors);
  return config;
}

nlohmann::ordered_json ToJson(const Config& config) {
  Json json = DescribeConfig()->Dump(config);
  for (Json& route : json["routes"]) {
    for (const FilterKind kind : {FilterKind::kIdempotency, FilterKind::kRateLimit,
                                  FilterKind::kRetry, FilterKind::kBreaker, FilterKind::kTimeout}) {
      // A route may not state settings of filters that do not run.
      if (!config.filters.Contains(kind)) route["filters"].erase(std::string(FilterName(kind)));
    }
  }
  return json;
}

}  // namespace outrigger::config
