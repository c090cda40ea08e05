// Looks into what a registry would show.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proxy/metrics/registry.h"

namespace outrigger::metrics {

inline std::optional<prometheus::ClientMetric> FindSeries(
    const std::vector<prometheus::MetricFamily>& families, const std::string& name,
    const std::vector<std::string>& values = {}) {
  for (const auto& family : families) {
    if (family.name != name) continue;
    for (const auto& metric : family.metric) {
      std::vector<std::string> labels;
      for (const auto& label : metric.label) labels.push_back(label.value);
      if (labels == values) return metric;
    }
  }
  return std::nullopt;
}

inline std::optional<double> CounterValue(const Registry& registry, const std::string& name,
                                          const std::vector<std::string>& values = {}) {
  const auto metric = FindSeries(registry.Collect(), name, values);
  if (!metric.has_value()) return std::nullopt;
  return metric->counter.value;
}

inline std::optional<double> GaugeValue(const Registry& registry, const std::string& name,
                                        const std::vector<std::string>& values = {}) {
  const auto metric = FindSeries(registry.Collect(), name, values);
  if (!metric.has_value()) return std::nullopt;
  return metric->gauge.value;
}

}  // namespace outrigger::metrics
