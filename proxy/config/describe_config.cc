// The top level of the file.

#include <algorithm>

#include "proxy/config/compound_types.h"
#include "proxy/config/description.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/section.h"

namespace outrigger::config {
namespace {

constexpr FilterKind kAllFilters[] = {FilterKind::kIdempotency, FilterKind::kRateLimit,
                                      FilterKind::kRetry, FilterKind::kBreaker,
                                      FilterKind::kTimeout};

// `- retry: {attempts: 2}` or `- retry`, in the order of the chain.
class ChainType final : public ValueType<FilterChain> {
 public:
  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             FilterChain& value) const override {
    if (node.kind != Node::Kind::kSequence) {
      diagnostics.Add(node.where, path,
                      fmt::format("expected a list of filters, got {}", node.Describe()));
      return;
    }
    value = FilterChain{};
    value.order.clear();
    for (size_t i = 0; i < node.items.size(); ++i) {
      ParseFilter(*node.items[i], fmt::format("{}[{}]", path, i), diagnostics, value);
    }
  }

  Json Dump(const FilterChain& value) const override {
    const Json settings = filters_->Dump(value.settings);
    Json list = Json::array();
    for (const FilterKind kind : value.order) {
      const std::string name(FilterName(kind));
      list.push_back({{name, settings.at(name)}});
    }
    return list;
  }

  Json Schema(Json& definitions) const override {
    Json names = Json::array();
    for (const FilterKind kind : kAllFilters) names.push_back(FilterName(kind));
    Json one = filters_->Schema(definitions);
    one["minProperties"] = 1;
    one["maxProperties"] = 1;
    return {{"type", "array"},
            {"maxItems", names.size()},
            {"items", {{"anyOf", {Json{{"enum", names}}, one}}}}};
  }

  std::string Text() const override { return "a list of filters, outermost first"; }

  void DescribeKeys(const std::string& prefix, std::vector<KeyDescription>& lines) const override {
    filters_->DescribeKeys(prefix + "[]", lines);
  }

 private:
  void ParseFilter(const Node& node, const std::string& path, Diagnostics& diagnostics,
                   FilterChain& value) const {
    std::string_view name = node.text;
    if (node.kind == Node::Kind::kMap && node.entries.size() == 1) {
      name = node.entries[0].key;
      filters_->Parse(node, path, diagnostics, value.settings);
    } else if (!node.is_scalar()) {
      diagnostics.Add(node.where, path,
                      fmt::format("expected one filter, as in `- retry: {{attempts: 2}}`, got {}",
                                  node.kind == Node::Kind::kMap && !node.entries.empty()
                                      ? "a mapping with several keys"
                                      : node.Describe()));
      return;
    }
    std::vector<std::string_view> names;
    for (const FilterKind kind : kAllFilters) {
      names.push_back(FilterName(kind));
      if (names.back() != name) continue;
      if (value.Contains(kind)) {
        diagnostics.Add(node.where, path, fmt::format("{} stands in the chain twice", name));
      } else {
        value.order.push_back(kind);
      }
      return;
    }
    // The section has reported an unknown key of a mapping.
    if (node.is_scalar()) {
      diagnostics.Add(node.where, path, internal::EnumMismatch(node, names, {}));
    }
  }

  Type<FilterSettings> filters_ = DescribeFilters();
};

Type<LogConfig> DescribeLog() {
  using S = LogConfig;
  return Section<S>("log")
      .Key("level", &S::level,
           OneWordOf<LogLevel>({{"debug", LogLevel::kDebug},
                                {"info", LogLevel::kInfo},
                                {"warn", LogLevel::kWarn},
                                {"error", LogLevel::kError}}),
           "The least important lines that are written")
      .Key("access", &S::access,
           OneWordOf<AccessLog>({{"all", AccessLog::kAll},
                                 {"errors", AccessLog::kErrors},
                                 {"none", AccessLog::kNone}}),
           "Which requests get a line")
      .Done();
}

Type<TracingConfig> DescribeTracing() {
  using S = TracingConfig;
  return Section<S>("tracing")
      .Key("otlp", &S::otlp, NoneYetType(), "Where spans are sent; nowhere yet")
      .Key("sample", &S::sample, RatioType(),
           "Part of the traces started here that is marked as sampled; others keep their caller's "
           "decision")
      .Done();
}

Type<ReadinessConfig> DescribeReadiness() {
  using S = ReadinessConfig;
  return Section<S>("readiness")
      .Key("flip_on", &S::flip_on,
           List(OneWordOf<ReadinessFlip>({{"breaker", ReadinessFlip::kBreaker}}, {"progress"}),
                {.unique = true}),
           "`breaker`: unready while a breaker refuses everything. Load never makes unready by "
           "default, since the last pods that work would be taken away first",
           "nothing")
      .Key("max_unready_for", &S::max_unready_for, DurationType(),
           "The longest time without a break that this may keep the pod unready")
      .Done();
}

Type<MetricsConfig> DescribeMetrics() {
  using S = MetricsConfig;
  return Section<S>("metrics")
      .Key("max_label_values", &S::max_label_values, CountType({.min = 1, .max = 1'000'000}),
           "Distinct values of a label that come from requests; the rest are counted as `other`. A "
           "change needs a restart")
      .Done();
}

}  // namespace

Type<TenantConfig> DescribeTenant() {
  using S = TenantConfig;
  return Section<S>("tenant")
      .Key("from", &S::from,
           List(OneWordOf<TenantSource>({{"mtls", TenantSource::kMtls},
                                         {"authorization", TenantSource::kAuthorization}},
                                        {"jwt", "api_key"}),
                {.unique = true}),
           "What identifies a tenant: the first that applies, else all are `anonymous`. `mtls` is "
           "the "
           "name in the client's certificate: its URI, such as a SPIFFE id, or its host name")
      .Key("header", &S::header, HeaderNameType(),
           "A header that names the tenant and is asked first. Only where callers are trusted: "
           "whoever sets it chooses whose quota is spent",
           "none")
      .Done();
}

Type<FilterSettings> DescribeFilters() {
  using S = FilterSettings;
  return Section<S>("filters")
      .Key("idempotency", &S::idempotency, DescribeIdempotency(),
           "Answers a repeated request with the same key from its first execution", "see below")
      .Key("rate_limit", &S::rate_limit, DescribeRateLimit(),
           "Refuses what a caller asks for beyond its rate with 429", "see below")
      .Key("retry", &S::retry, DescribeRetry(),
           "Tries again what failed, if that is safe and within the budget", "see below")
      .Key("breaker", &S::breaker, DescribeBreaker(),
           "Stops sending requests to an upstream that fails or has become slow", "see below")
      .Key("timeout", &S::timeout, DescribeTimeout(), "Cuts what takes too long", "see below")
      .Done();
}

Type<Config> DescribeConfig() {
  using S = Config;
  return Section<S>("config")
      .Key("workers", &S::workers, Or("auto", CountType({.min = 1, .max = 256})),
           "Threads that serve requests; `auto` is the CPU limit of the cgroup, rounded up. A "
           "change "
           "needs a restart")
      .Key("memory_budget", &S::memory_budget,
           Or("auto", SizeType({.min = 1 << 20, .max = size_t{64} << 30})),
           "Memory for buffers of all kinds; `auto` is 48MiB or 75 % of the cgroup's limit, "
           "whichever is less")
      .Key("admin", &S::admin, DescribeAdmin(), "The port for probes, metrics and control")
      .Key("listeners", &S::listeners, List(DescribeListener(), {.min = 1, .max = 64}),
           "Where clients connect", "one, with the defaults below")
      .Key("upstreams", &S::upstreams, List(DescribeUpstream(), {.min = 1, .max = 256}),
           "The services behind the proxy", "one, with the defaults below")
      .Key("routes", &S::routes, List(DescribeRoute(), {.max = 1000}),
           "What holds for which requests; the first that matches claims a request. What none "
           "claims is matched with the built-in presets")
      .Key("tenant", &S::tenant, DescribeTenant(), "To whom a request is accounted")
      .Key("filters", &S::filters, std::make_shared<ChainType>(),
           "The filters that run, outermost first, with their settings",
           "idempotency, rate_limit, retry, breaker, timeout")
      .Key("readiness", &S::readiness, DescribeReadiness(),
           "What besides the check of the app makes the pod unready")
      .Key("log", &S::log, DescribeLog(), "Log lines on standard output")
      .Key("tracing", &S::tracing, DescribeTracing(), "Distributed traces")
      .Key("metrics", &S::metrics, DescribeMetrics(), "Metrics of the admin port")
      .Done();
}

}  // namespace outrigger::config
