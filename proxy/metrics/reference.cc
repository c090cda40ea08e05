#include "proxy/metrics/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

#include "proxy/metrics/descriptors.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::metrics {
namespace {

std::string_view TypeName(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
  }
  return "";
}

struct ClosedList {
  const Descriptor& family;
  std::string_view label;
  std::span<const std::string_view> values;
};

}  // namespace

std::string MetricsReference() {
  std::string page =
      "# Metrics\n\n"
      "`GET /metrics` on the admin port, Prometheus text format 0.0.4. This page is generated from "
      "`proxy/metrics/descriptors.h`; a test compares them.\n\n"
      "Counters by outcome, and histograms, appear when first used. `route`, `upstream`, `rule` "
      "and `breaker` are names from the configuration. `tenant` comes from requests: the first "
      "`metrics.max_label_values` are told apart, the rest are `other`.\n\n"
      "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
  auto out = std::back_inserter(page);
  for (const Descriptor* family : AllDescriptors()) {
    std::string labels;
    for (char c : family->labels) {
      if (c == ',') {
        labels += "`, `";
      } else {
        labels += c;
      }
    }
    if (!labels.empty()) labels = "`" + labels + "`";
    fmt::format_to(out, "| `{}` | {} | {} | {} |\n", family->name, TypeName(family->type), labels,
                   family->help);
  }

  page += "\n## Label values\n\n| Metric | Label | Values |\n|---|---|---|\n";
  const std::vector<ClosedList> lists = {
      {families::kRequests, "code_class", CodeClassNames()},
      {families::kStreamOutcome, "outcome", StreamOutcomeNames()},
      {families::kGrpcCalls, "code", GrpcCodeNames()},
      {families::kIdempotency, "result", IdempotencyResultNames()},
      {families::kLimiterDecisions, "decision", LimiterDecisionNames()},
      {families::kLimiterDecisions, "mode", FilterModeNames()},
      {families::kBreakerTransitions, "to", BreakerStateNames()},
      {families::kBreakerTransitions, "cause", BreakerCauseNames()},
      {families::kBreakerRefusals, "reason", BreakerRefusalNames()},
      {families::kBreakerRefusals, "mode", FilterModeNames()},
      {families::kBreakerProbes, "result", ProbeResultNames()},
      {families::kRetries, "cause", RetryCauseNames()},
      {families::kRetries, "result", RetryResultNames()},
      {families::kHttp2Floods, "what", Http2FloodNames()},
      {families::kTimeouts, "tier", TimeoutTierNames()},
      {families::kUpstreamDuration, "phase", UpstreamPhaseNames()},
      {families::kUpstreamConnections, "state", ConnectionStateNames()},
  };
  for (const ClosedList& list : lists) {
    fmt::format_to(out, "| `{}` | `{}` | `{}` |\n", list.family.name, list.label,
                   fmt::join(list.values, "`, `"));
  }
  page +=
      "\n`reason` is empty for answers of the service, otherwise the value of the response's "
      "`x-outrigger-reason`.\n\n## Histogram bounds\n\n| Metric | Upper bounds |\n|---|---|\n";
  for (const Descriptor* family : AllDescriptors()) {
    if (family->bounds.empty()) continue;
    fmt::format_to(out, "| `{}` | {} |\n", family->name, fmt::join(family->bounds, ", "));
  }
  return page;
}

}  // namespace outrigger::metrics
