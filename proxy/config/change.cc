#include "proxy/config/change.h"

#include <string_view>

#include "fmt/format.h"
#include "proxy/config/description.h"

namespace outrigger::config {
namespace {

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string TlsSettings(const Json& settings) {
  return Json{settings["protocol"], settings["tls"]}.dump();
}

}  // namespace

void CheckChange(const Config& running, const Config& next, const Node& root,
                 Diagnostics& diagnostics) {
  const Json before = DescribeConfig()->Dump(running);
  const Json after = DescribeConfig()->Dump(next);
  constexpr std::string_view kFixed[][2] = {{"", "workers"},
                                            {"admin", "address"},
                                            {"admin", "grpc_address"},
                                            {"metrics", "max_label_values"}};
  for (const auto& [section, key] : kFixed) {
    const Json& old_value = section.empty() ? before.at(key) : before.at(section).at(key);
    const Json& new_value = section.empty() ? after.at(key) : after.at(section).at(key);
    const std::string path =
        section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
    if (old_value == new_value) continue;
    diagnostics.Add(Locate(root, path), path,
                    fmt::format("a change from {} to {} needs a restart", TextOf(old_value),
                                TextOf(new_value)));
  }
}

std::string ConnectionSettingsOf(const UpstreamConfig& upstream) {
  Json settings = DescribeUpstream()->Dump(upstream);
  settings.erase("health");
  return settings.dump();
}

std::string SettingsOf(const UpstreamConfig& upstream) {
  return DescribeUpstream()->Dump(upstream).dump();
}

std::string TlsSettingsOf(const ListenerConfig& listener) {
  return TlsSettings(DescribeListener()->Dump(listener));
}

std::string TlsSettingsOf(const UpstreamConfig& upstream) {
  return TlsSettings(DescribeUpstream()->Dump(upstream));
}

}  // namespace outrigger::config
