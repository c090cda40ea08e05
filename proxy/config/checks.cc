#include "proxy/config/checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "proxy/config/units.h"

namespace outrigger::config {
namespace {

class Checker {
 public:
  Checker(const Config& config, const Node& root, Diagnostics& diagnostics)
      : config_(config), root_(root), read_errors_(diagnostics), diagnostics_(diagnostics) {}

  void Run() {
    NotLonger("admin.drain", "lame_duck", config_.admin.drain.lame_duck, "timeout",
              config_.admin.drain.timeout);
    CheckUpstreams();
    CheckListeners();
    CheckRoutes();
    CheckOrder();
    for (const FilterKind kind : config_.filters.order) {
      CheckFilter(kind, config_.filters.settings,
                  fmt::format("{}.{}", ChainPath(kind), FilterName(kind)));
    }
  }

 private:
  void Report(const std::string& path, std::string message) {
    diagnostics_.Add(Locate(root_, path), path, std::move(message));
  }

  // Whether the values at both paths are those of the file.
  bool AreRead(const std::string& path, const std::string& other) const {
    return !read_errors_.HasErrorAt(path) && !read_errors_.HasErrorAt(other);
  }

  // Where a filter stands in the file; elements that are no filters have been left out of the
  // order.
  std::string ChainPath(FilterKind kind) const {
    const Node* chain = root_.Find("filters");
    if (chain == nullptr) return "filters";
    for (size_t i = 0; i < chain->items.size(); ++i) {
      const Node& item = *chain->items[i];
      if (item.text == FilterName(kind) || item.Find(FilterName(kind)) != nullptr) {
        return fmt::format("filters[{}]", i);
      }
    }
    return "filters";
  }

  void NotLonger(const std::string& section, std::string_view shorter, absl::Duration value,
                 std::string_view longer, absl::Duration limit) {
    const std::string path = fmt::format("{}.{}", section, shorter);
    if (value <= limit || !AreRead(path, fmt::format("{}.{}", section, longer))) return;
    Report(path, fmt::format("{} ({}) must not be longer than {} ({})", shorter,
                             DurationText(value), longer, DurationText(limit)));
  }

  template <class Elements>
  void CheckNames(const Elements& elements, const std::string& list) {
    std::set<std::string_view> seen;
    for (size_t i = 0; i < elements.size(); ++i) {
      const std::string path = fmt::format("{}[{}].name", list, i);
      if (read_errors_.HasErrorAt(path) || seen.insert(elements[i].name).second) continue;
      Report(path, fmt::format("the name {} is used twice", Quote(elements[i].name)));
    }
  }

  void CheckUpstreamName(const std::string& path, const std::string& name) {
    std::vector<std::string_view> names;
    for (const UpstreamConfig& upstream : config_.upstreams) names.push_back(upstream.name);
    if (std::find(names.begin(), names.end(), name) != names.end()) return;
    if (read_errors_.HasErrorAt(path) || UpstreamNamesAreInDoubt()) return;
    const std::string_view meant = ClosestMatch(name, names);
    Report(path, meant.empty() ? fmt::format("there is no upstream {}", Quote(name))
                               : fmt::format("there is no upstream {}, did you mean {}?",
                                             Quote(name), meant));
  }

  bool UpstreamNamesAreInDoubt() const {
    for (size_t i = 0; i < config_.upstreams.size(); ++i) {
      if (read_errors_.HasErrorAt(fmt::format("upstreams[{}].name", i))) return true;
    }
    return false;
  }

  void CheckUpstreams() {
    CheckNames(config_.upstreams, "upstreams");
    for (size_t i = 0; i < config_.upstreams.size(); ++i) {
      const HealthSettings& health = config_.upstreams[i].health;
      NotLonger(fmt::format("upstreams[{}].health", i), "timeout", health.timeout, "interval",
                health.interval);
      CheckGrpcHealth(config_.upstreams[i], fmt::format("upstreams[{}]", i));
      if (health.inference.has_value()) {
        CheckInference(*health.inference, fmt::format("upstreams[{}].health.inference", i));
      }
      if (config_.upstreams[i].tls.has_value()) {
        CheckUpstreamTls(config_.upstreams[i], fmt::format("upstreams[{}]", i));
      }
    }
  }

  void CheckGrpcHealth(const UpstreamConfig& upstream, const std::string& path) {
    if (!upstream.health.grpc.has_value()) return;
    if (upstream.health.path.has_value() && AreRead(path + ".health.path", path + ".health.grpc")) {
      Report(path + ".health.grpc", "is not possible together with path");
    }
    if (upstream.protocol == UpstreamProtocol::kHttp1 &&
        !read_errors_.HasErrorAt(path + ".protocol")) {
      Report(path + ".health.grpc", "needs protocol: http2");
    }
  }

  void CheckInference(const InferenceSettings& inference, const std::string& path) {
    if (inference.path.empty() && AreRead(path, path + ".path")) {
      Report(path, "path must be stated");
    }
    if (inference.method == InferenceSettings::Method::kGet && !inference.body.empty() &&
        AreRead(path + ".method", path + ".body")) {
      Report(path + ".body", "has no effect with method: GET");
    }
    for (const std::string_view name :
         {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade",
          "expect", "keep-alive", "proxy-connection"}) {
      if (!inference.headers.contains(std::string(name))) continue;
      Report(path + ".headers", fmt::format("{} is not for a probe to state", name));
    }
  }

  void CheckTogether(const std::string& path, std::string_view one, bool has_one,
                     std::string_view other, bool has_other) {
    if (has_one == has_other ||
        !AreRead(fmt::format("{}.{}", path, one), fmt::format("{}.{}", path, other))) {
      return;
    }
    Report(path, fmt::format("{} must be stated, because {} is", has_one ? other : one,
                             has_one ? one : other));
  }

  void CheckListenerTls(const ListenerTls& tls, const std::string& path) {
    if (tls.cert.empty() && tls.key.empty()) {
      if (AreRead(path + ".cert", path + ".key")) Report(path, "cert and key must be stated");
    } else {
      CheckTogether(path, "cert", !tls.cert.empty(), "key", !tls.key.empty());
    }
    if (!AreRead(path + ".client_auth", path + ".client_ca")) return;
    if (tls.client_auth != ClientAuth::kNone && tls.client_ca.empty()) {
      Report(path, "client_ca must be stated, because client_auth asks for certificates");
    }
    if (tls.client_auth != ClientAuth::kNone) return;
    if (!tls.client_ca.empty()) {
      Report(path + ".client_ca", "has no effect without client_auth: optional or require");
    }
    if (!tls.client_san.empty()) {
      Report(path + ".client_san", "has no effect without client_auth: optional or require");
    }
  }

  void CheckUpstreamTls(const UpstreamConfig& upstream, const std::string& path) {
    CheckTogether(path + ".tls", "cert", !upstream.tls->cert.empty(), "key",
                  !upstream.tls->key.empty());
    const bool has_name = !upstream.tls->server_name.empty() || !upstream.tls->server_san.empty();
    for (const Address& endpoint : upstream.endpoints) {
      if (has_name || endpoint.kind != Address::Kind::kUnix) continue;
      if (!AreRead(path + ".tls.server_name", path + ".tls.server_san")) continue;
      Report(path + ".tls", fmt::format("server_name or server_san must be stated: {} is no name "
                                        "to look for in the certificate",
                                        endpoint.ToString()));
      return;
    }
  }

  void CheckGrpcAddress(std::map<std::string, std::string>& users) {
    const std::optional<Address>& address = config_.admin.grpc_address;
    if (!address.has_value() || read_errors_.HasErrorAt("admin.grpc_address")) return;
    if (address->kind != Address::Kind::kUnix && address->port == 0) return;
    const auto [user, is_new] = users.emplace(address->ToString(), "admin.grpc_address");
    if (!is_new) {
      Report("admin.grpc_address",
             fmt::format("{} is already the address of {}", address->ToString(), user->second));
    }
  }

  void CheckListeners() {
    CheckNames(config_.listeners, "listeners");
    std::map<std::string, std::string> users;
    if (!read_errors_.HasErrorAt("admin.address")) {
      users[config_.admin.address.ToString()] = "admin";
    }
    CheckGrpcAddress(users);
    for (size_t i = 0; i < config_.listeners.size(); ++i) {
      const ListenerConfig& listener = config_.listeners[i];
      const std::string path = fmt::format("listeners[{}]", i);
      CheckUpstreamName(path + ".upstream", listener.upstream);
      if (listener.tls.has_value()) CheckListenerTls(*listener.tls, path + ".tls");
      const bool any_port =
          listener.address.kind != Address::Kind::kUnix && listener.address.port == 0;
      if (any_port || read_errors_.HasErrorAt(path + ".address")) continue;
      const auto [user, is_new] = users.emplace(listener.address.ToString(), path);
      if (!is_new) {
        Report(path + ".address", fmt::format("{} is already the address of {}",
                                              listener.address.ToString(), user->second));
      }
    }
  }

  void CheckRoutes() {
    CheckNames(config_.routes, "routes");
    for (size_t i = 0; i < config_.routes.size(); ++i) {
      const RouteConfig& route = config_.routes[i];
      const std::string path = fmt::format("routes[{}]", i);
      if (route.upstream.has_value()) CheckUpstreamName(path + ".upstream", *route.upstream);
      const int path_rules = static_cast<int>(route.match.path.has_value()) +
                             static_cast<int>(route.match.prefix.has_value()) +
                             static_cast<int>(route.match.path_template.has_value());
      if (path_rules > 1) {
        Report(path + ".match", "path, prefix and template exclude each other");
      }
      CheckOverrides(i, route);
    }
  }

  void CheckOverrides(size_t index, const RouteConfig& route) {
    const Node* routes = root_.Find("routes");
    const Node* overrides = routes->items[index]->Find("filters");
    if (overrides == nullptr) return;
    for (const FilterKind kind : {FilterKind::kIdempotency, FilterKind::kRateLimit,
                                  FilterKind::kRetry, FilterKind::kBreaker, FilterKind::kTimeout}) {
      if (overrides->Find(FilterName(kind)) == nullptr) continue;
      const std::string path = fmt::format("routes[{}].filters.{}", index, FilterName(kind));
      if (read_errors_.HasErrorAt(ChainPath(kind)))
        continue;  // what the route inherits is in doubt
      if (config_.filters.Contains(kind)) {
        CheckFilter(kind, route.filters, path);
      } else if (!read_errors_.HasErrorAt("filters")) {
        Report(path, fmt::format("{} does not stand in the chain (filters), so these settings "
                                 "would have no effect",
                                 FilterName(kind)));
      }
    }
  }

  // Semantics B0.1.
  void CheckOrder() {
    CheckBefore(FilterKind::kIdempotency, FilterKind::kRetry,
                "inside retry it would wait for its own record");
    CheckBefore(FilterKind::kRetry, FilterKind::kTimeout,
                "outside of retry its limits for one try would cut all tries together");
    CheckBefore(FilterKind::kIdempotency, FilterKind::kTimeout,
                "inside timeout its waiting for a running execution would be cut as a try");
  }

  void CheckBefore(FilterKind first, FilterKind second, std::string_view reason) {
    const std::vector<FilterKind>& order = config_.filters.order;
    const auto first_at = std::find(order.begin(), order.end(), first);
    const auto second_at = std::find(order.begin(), order.end(), second);
    if (first_at == order.end() || second_at == order.end() || first_at < second_at) return;
    // Whichever of the two the rule's reason speaks of.
    const bool blame_second = first == FilterKind::kRetry;
    const auto at = blame_second ? second_at : first_at;
    Report(ChainPath(*at), fmt::format("{} must stand {} {}: {}", FilterName(*at),
                                       blame_second ? "after" : "before",
                                       FilterName(blame_second ? first : second), reason));
  }

  void CheckFilter(FilterKind kind, const FilterSettings& settings, const std::string& path) {
    switch (kind) {
      case FilterKind::kIdempotency:
        return CheckIdempotency(settings.idempotency, path);
      case FilterKind::kRateLimit:
        return CheckRateLimit(settings.rate_limit, path);
      case FilterKind::kRetry:
        return CheckRetry(settings.retry, path);
      case FilterKind::kBreaker:
        return CheckBreaker(settings.breaker, path);
      case FilterKind::kTimeout:
        return CheckTimeout(settings.timeout, path);
    }
  }

  void CheckIdempotency(const IdempotencySettings& settings, const std::string& path) {
    NotLonger(path, "response_ttl", settings.response_ttl, "key_ttl", settings.key_ttl);
    NotLarger(path, "max_body", settings.max_body, "max_bodies", settings.max_bodies);
    NotLarger(path, "max_bodies", settings.max_bodies.value_or(0), "memory_budget",
              config_.memory_budget);
    if (settings.fingerprint.mode == FingerprintSettings::Mode::kJson) {
      NotLarger(path + ".fingerprint.json", "max_body", settings.fingerprint.json.max_body,
                "memory_budget", config_.memory_budget);
    }
  }

  void NotLarger(const std::string& section, std::string_view smaller, size_t value,
                 std::string_view larger, std::optional<size_t> limit) {
    if (!limit.has_value() || value <= *limit) return;
    const std::string path = fmt::format("{}.{}", section, smaller);
    if (!AreRead(path, fmt::format("{}.{}", section, larger))) return;
    Report(path, fmt::format("{} ({}) must not be larger than {} ({})", smaller, SizeText(value),
                             larger, SizeText(*limit)));
  }

  void CheckRateLimit(const RateLimitSettings& settings, const std::string& path) {
    CheckNames(settings.rules, path + ".rules");
    for (size_t i = 0; i < settings.rules.size(); ++i) {
      const RateLimitRule& rule = settings.rules[i];
      const std::string rule_path = fmt::format("{}.rules[{}]", path, i);
      for (size_t k = 0; k < rule.key.size(); ++k) {
        const std::string key_path = fmt::format("{}.key[{}]", rule_path, k);
        if (rule.key[k].kind == RateLimitKey::Kind::kHeader && rule.key[k].header.empty() &&
            !read_errors_.HasErrorAt(key_path)) {
          Report(key_path, "header must be stated");
        }
      }
      if (rule.algorithm == RateLimitAlgorithm::kSlidingWindow && rule.burst.has_value()) {
        Report(rule_path + ".burst", "sliding_window has no burst; remove the key");
      }
    }
  }

  void CheckRetry(const RetrySettings& settings, const std::string& path) {
    NotLonger(path + ".backoff", "base", settings.backoff.base, "cap", settings.backoff.cap);
    NotLarger(path, "max_replay_body", settings.max_replay_body, "replay_pool",
              settings.replay_pool);
    for (const std::string_view status : {"400", "404"}) {
      const auto cause = settings.causes.find(std::string(status));
      if (cause == settings.causes.end() || cause->second.retries == 0) continue;
      Report(fmt::format("{}.causes.{}", path, status),
             "is never retried: the same request would get the same answer");
    }
  }

  void CheckBreaker(const BreakerSettings& settings, const std::string& path) {
    NotLonger(path, "open_for", settings.open_for, "max_open_for", settings.max_open_for);
    if (settings.probe.kind == ProbeSettings::Kind::kPath && settings.probe.path.empty() &&
        !read_errors_.HasErrorAt(path + ".probe")) {
      Report(path + ".probe", "path must be stated");
    }
  }

  void CheckTimeout(const TimeoutSettings& settings, const std::string& path) {
    NotLonger(path, "per_try", settings.per_try.value_or(absl::ZeroDuration()), "overall",
              settings.overall);
    NotLonger(path, "ttft", settings.ttft, "max_stream", settings.max_stream);
    NotLonger(path, "inter_token", settings.inter_token, "max_stream", settings.max_stream);
    if (!settings.adaptive.has_value()) return;
    NotLonger(path + ".adaptive", "floor", settings.adaptive->floor, "cap", settings.adaptive->cap);
    NotLonger(path, "adaptive.cap", settings.adaptive->cap, "max_stream", settings.max_stream);
  }

  const Config& config_;
  const Node& root_;
  const Diagnostics read_errors_;  // as they were before the checks
  Diagnostics& diagnostics_;
};

}  // namespace

void CheckConfig(const Config& config, const Node& root, Diagnostics& diagnostics) {
  Checker(config, root, diagnostics).Run();
}

}  // namespace outrigger::config
