// The little logic of the plain structs.

#include <algorithm>
#include <array>

#include "proxy/config/filter_settings.h"
#include "proxy/config/presets.h"
#include "proxy/config/route_config.h"
#include "proxy/config/upstream_config.h"

namespace outrigger::config {

std::string_view FilterName(FilterKind kind) {
  switch (kind) {
    case FilterKind::kIdempotency:
      return "idempotency";
    case FilterKind::kRateLimit:
      return "rate_limit";
    case FilterKind::kRetry:
      return "retry";
    case FilterKind::kBreaker:
      return "breaker";
    case FilterKind::kTimeout:
      return "timeout";
  }
  return "";
}

bool FilterChain::Contains(FilterKind kind) const {
  return std::find(order.begin(), order.end(), kind) != order.end();
}

absl::Duration UpstreamConfig::ConnectTimeout(const Address& endpoint) const {
  if (connect_timeout.has_value()) return *connect_timeout;
  return endpoint.IsLocal() ? absl::Milliseconds(300) : absl::Seconds(1);
}

std::string_view MethodText(InferenceSettings::Method method) {
  switch (method) {
    case InferenceSettings::Method::kPost:
      return "POST";
    case InferenceSettings::Method::kGet:
      return "GET";
    case InferenceSettings::Method::kPut:
      return "PUT";
  }
  return "";
}

bool IsIdempotentMethod(std::string_view method) {
  constexpr std::array<std::string_view, 5> kMethods = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};
  return std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
}

Effects RouteConfig::EffectsOf(std::string_view method, std::string_view normal_path) const {
  if (effects.has_value()) return *effects;
  if (IsIdempotentMethod(method)) return Effects::kNone;
  if (preset != Preset::kNone) return PresetEffects(preset, normal_path);
  return Effects::kUnsafe;
}

}  // namespace outrigger::config
