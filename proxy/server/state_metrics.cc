#include "proxy/server/state_metrics.h"

#include <memory>
#include <string>
#include <utility>

#include "proxy/metrics/descriptors.h"
#include "proxy/server/admin_backend.h"
#include "proxy/server/version.h"

namespace outrigger::server {

std::vector<metrics::CallbackHandle> AddStateMetrics(metrics::Registry& registry,
                                                     const StateMetricsParts& parts) {
  using metrics::Sample;
  std::vector<metrics::CallbackHandle> handles;
  const auto add = [&](const metrics::Descriptor& descriptor, metrics::SampleFunction samples) {
    handles.push_back(registry.AddCallback(descriptor, std::move(samples)));
  };
  const auto one = [](double value) { return std::vector<Sample>{{{}, value}}; };
  add(metrics::families::kBuildInfo, [] {
    return std::vector<Sample>{{{std::string(kVersion), std::string(CompilerName())}, 1}};
  });
  add(metrics::families::kConfigGeneration,
      [parts, one] { return one(static_cast<double>(parts.config.view().generation)); });
  add(metrics::families::kConfigLastReload,
      [parts, one] { return one(parts.config.view().is_last_successful ? 1 : 0); });
  add(metrics::families::kConfigLoadedAt, [parts, one] {
    return one(static_cast<double>(absl::ToUnixSeconds(parts.config.view().loaded_at)));
  });
  add(metrics::families::kLogsDropped,
      [parts, one] { return one(static_cast<double>(parts.logs.dropped_lines())); });
  add(metrics::families::kBufferBytes,
      [parts, one] { return one(static_cast<double>(parts.shared.memory().used_bytes())); });
  add(metrics::families::kBufferLimitBytes,
      [parts, one] { return one(static_cast<double>(parts.shared.memory().limit_bytes())); });
  add(metrics::families::kBreakerState, [parts] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<breaker::Breaker>& breaker : parts.shared.breakers().List()) {
      samples.push_back({{breaker->id()}, AdminBackend::StateNumber(*breaker)});
    }
    return samples;
  });
  add(metrics::families::kLimiterBuckets, [parts] {
    std::vector<Sample> samples;
    for (const auto& [rule, buckets] : parts.shared.LimiterBuckets()) {
      samples.push_back({{rule}, static_cast<double>(buckets)});
    }
    return samples;
  });
  add(metrics::families::kRetryBudget, [parts] {
    std::vector<Sample> samples;
    for (const auto& [upstream, budget] : parts.shared.Budgets()) {
      samples.push_back({{upstream}, static_cast<double>(budget->Remaining(CoarseNow()))});
    }
    return samples;
  });
  add(metrics::families::kTtftLimit, [parts] {
    std::vector<Sample> samples;
    for (const auto& [scope, limit] : parts.shared.TtftLimits()) {
      const double seconds = absl::ToDoubleSeconds(limit->Limit(CoarseNow()));
      samples.push_back({{scope.upstream, scope.route}, seconds});
    }
    return samples;
  });
  add(metrics::families::kIdempotencyKeys, [parts] {
    std::vector<Sample> samples;
    for (const auto& [state, count] : AdminBackend::KeyCounts(parts.shared.keys().Stats())) {
      samples.push_back({{state}, static_cast<double>(count)});
    }
    return samples;
  });
  add(metrics::families::kIdempotencyBodyBytes,
      [parts, one] { return one(static_cast<double>(parts.shared.keys().Stats().body_bytes)); });
  add(metrics::families::kAppHealthy, [parts] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<const admin::AppHealth>& app : parts.health.Apps()) {
      samples.push_back({{app->name()}, app->is_healthy() ? 1.0 : 0.0});
    }
    return samples;
  });
  add(metrics::families::kInferenceProbes, [parts] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<const admin::AppHealth>& app : parts.health.Apps()) {
      const auto passed = static_cast<double>(app->inferences_passed());
      const auto failed = static_cast<double>(app->inferences_failed());
      if (passed + failed == 0) continue;
      samples.push_back({{app->name(), "passed"}, passed});
      samples.push_back({{app->name(), "failed"}, failed});
    }
    return samples;
  });
  return handles;
}

}  // namespace outrigger::server
