#include "proxy/server/app_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "proxy/config/change.h"

namespace outrigger::server {

std::vector<admin::AppCheckConfig> MakeAppChecks(const config::Config& config, const TlsSet& tls,
                                                 chain::SharedState& shared) {
  std::vector<admin::AppCheckConfig> checks;
  for (const config::UpstreamConfig& upstream : config.upstreams) {
    std::shared_ptr<upstream::SharedUpstreamState> state = shared.Upstream(upstream.name);
    for (const config::Address& endpoint : upstream.endpoints) {
      admin::AppCheckConfig check;
      check.name = upstream.endpoints.size() == 1
                       ? upstream.name
                       : fmt::format("{}/{}", upstream.name, endpoint.ToString());
      check.endpoint = endpoint.ToString();
      check.path = upstream.health.path.value_or("");
      if (upstream.health.grpc.has_value()) {
        const bool is_whole = *upstream.health.grpc == config::HealthSettings::kWholeServer;
        check.grpc_service = is_whole ? "" : *upstream.health.grpc;
      }
      check.is_http2 = upstream.protocol == config::UpstreamProtocol::kHttp2;
      check.tls = tls.Upstream(upstream.name);
      check.tls_host = endpoint.host;
      check.interval = upstream.health.interval;
      check.timeout = upstream.health.timeout;
      check.policy.unhealthy_after = static_cast<int>(upstream.health.unhealthy_after);
      check.policy.healthy_after = static_cast<int>(upstream.health.healthy_after);
      if (const auto& inference = upstream.health.inference; inference.has_value()) {
        check.policy.needs_inference = true;
        check.inference =
            admin::InferenceProbe{.method = std::string(config::MethodText(inference->method)),
                                  .path = inference->path,
                                  .content_type = inference->content_type,
                                  .body = inference->body,
                                  .fields = {inference->headers.begin(), inference->headers.end()},
                                  .timeout = inference->timeout};
      }
      check.last_upstream_byte = [state] {
        return MonoTime::FromNanos(state->last_byte_nanos.load(std::memory_order_relaxed));
      };
      checks.push_back(std::move(check));
    }
  }
  return checks;
}

bool HasOtherAppChecks(const config::Config& before, const config::Config& next) {
  return !std::equal(before.upstreams.begin(), before.upstreams.end(), next.upstreams.begin(),
                     next.upstreams.end(),
                     [](const config::UpstreamConfig& a, const config::UpstreamConfig& b) {
                       return config::SettingsOf(a) == config::SettingsOf(b);
                     });
}

}  // namespace outrigger::server
