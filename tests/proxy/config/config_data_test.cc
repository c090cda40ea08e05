// What is read into which field, and the little logic of the structs.

#include <string>

#include "gtest/gtest.h"
#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

Config MustParse(std::string_view text) {
  Expected<Config, ConfigErrors> config = Parse(text, "f");
  EXPECT_TRUE(config.ok()) << config.error().ToString();
  return config.ok() ? *std::move(config) : Config{};
}

TEST(ConfigData, ReadsWordsValuesAndSections) {
  const Config config = MustParse(R"(
workers: auto
memory_budget: 32MiB
admin: {address: "127.0.0.1:0", drain: {lame_duck: 0, timeout: 10s}}
listeners:
  - address: unix:/run/outrigger.sock
    limits: {body: 1MiB, body_by_type: {Image/PNG: unlimited}}
    half_close: allow
    unmatched: 404
upstreams:
  - name: llm
    endpoints: ["llm.default.svc:8000", "[::1]:8001", "unix:/run/app.sock"]
    balance: round_robin
    max_requests: 100
    health: {path: /health}
routes:
  - match:
      template: "/v2/models/{model}/infer"
      methods: [POST, PUT]
      headers: {X-Team: red, x-any: "*"}
      content_type: [application/json, text/*]
    503_means: not_executed
    effects: keyed
tenant: {from: [], header: X-Tenant}
filters:
  - idempotency:
      in_flight: {wait: 7s}
      key_headers: [X-Key]
      fingerprint: {json: {ignore: [/user, /a~1b]}}
  - rate_limit:
      headers: [ietf, openai]
      rules: [{key: [tenant, {header: X-Team}], algorithm: leaky_bucket, rate: 5/10s, mode: shadow}]
  - retry: {backoff: provider}
  - breaker: {probe: {path: /health}, throttle_gate: enabled}
  - timeout: {per_try: 20s}
log: {level: debug, access: errors}
tracing: {sample: 100%}
)");
  EXPECT_FALSE(config.workers.has_value());
  EXPECT_EQ(config.memory_budget, size_t{32} << 20);
  EXPECT_EQ(config.admin.address.port, 0);
  EXPECT_EQ(config.admin.drain.lame_duck, absl::ZeroDuration());

  const ListenerConfig& listener = config.listeners.at(0);
  EXPECT_EQ(listener.address.path, "/run/outrigger.sock");
  EXPECT_EQ(listener.limits.body, size_t{1} << 20);
  EXPECT_EQ(listener.limits.body_by_type.at("image/png"), std::nullopt);
  EXPECT_EQ(listener.half_close, HalfClose::kAllow);
  EXPECT_EQ(listener.unmatched, Unmatched::kNotFound);
  EXPECT_EQ(listener.upstream, "llm");

  const UpstreamConfig& upstream = config.upstreams.at(0);
  EXPECT_EQ(upstream.endpoints.at(2).kind, Address::Kind::kUnix);
  EXPECT_EQ(upstream.balance, Balance::kRoundRobin);
  EXPECT_EQ(upstream.max_requests, 100);
  EXPECT_EQ(upstream.health.path, "/health");

  const RouteConfig& route = config.routes.at(0);
  EXPECT_EQ(route.name, "route-1");
  EXPECT_EQ(route.match.path_template, "/v2/models/{model}/infer");
  EXPECT_EQ(route.match.methods, (std::vector<std::string>{"POST", "PUT"}));
  EXPECT_EQ(route.match.headers.at("x-team"), "red");
  EXPECT_EQ(route.match.content_type.at(1), "text/*");
  EXPECT_EQ(route.means_503, MeaningOf503::kNotExecuted);
  EXPECT_FALSE(route.upstream.has_value());

  EXPECT_TRUE(config.tenant.from.empty());
  EXPECT_EQ(config.tenant.header, "x-tenant");
  const FilterSettings& filters = config.filters.settings;
  EXPECT_EQ(filters.idempotency.in_flight,
            (InFlightSettings{InFlightSettings::Mode::kWait, absl::Seconds(7)}));
  EXPECT_EQ(filters.idempotency.key_headers, std::vector<std::string>{"x-key"});
  EXPECT_EQ(filters.idempotency.fingerprint,
            (FingerprintSettings{FingerprintSettings::Mode::kJson, {{"/user", "/a~1b"}}}));
  const RateLimitRule& rule = filters.rate_limit.rules.at(0);
  EXPECT_EQ(rule.key.at(1), (RateLimitKey{RateLimitKey::Kind::kHeader, "x-team"}));
  EXPECT_EQ(rule.algorithm, RateLimitAlgorithm::kLeakyBucket);
  EXPECT_EQ(rule.mode, FilterMode::kShadow);
  EXPECT_EQ(filters.retry.backoff, kProviderBackoff);
  EXPECT_EQ(filters.breaker.probe,
            (ProbeSettings{ProbeSettings::Kind::kPath, "/health", absl::Seconds(5)}));
  EXPECT_EQ(filters.breaker.throttle_gate, ThrottleGate::kEnabled);
  EXPECT_EQ(filters.timeout.per_try, absl::Seconds(20));
  EXPECT_EQ(config.log.access, AccessLog::kErrors);
  EXPECT_EQ(config.tracing.sample, 1.0);
}

TEST(ConfigData, IsWrittenSoThatItReadsBackTheSame) {
  for (const std::string_view text :
       {"", "workers: auto", "filters: []", "filters: [timeout, breaker]\nroutes: [{}, {}]",
        "filters: [{retry: {backoff: provider, causes: {\"503\": {retries: 1, delay: 0}}}}]",
        "filters: [{idempotency: {in_flight: reject}}, {breaker: {probe: {path: /h}}}]",
        "filters: [{idempotency: {in_flight: {wait: 3s}, max_bodies: 3MiB}}]",
        "filters: [{idempotency: {fingerprint: json}}]",
        "filters: [{idempotency: {fingerprint: {json: {ignore: [/a~1b, /c/0/d], max_body: "
        "2KiB}}}}]",
        "routes: [{match: {headers: {a: b}}, effects: keyed, preset: kserve}]\n"
        "tenant: {header: x-t}",
        "filters: [{rate_limit: {rules: [{key: [{header: a}, route], rate: 7/250ms, burst: 9}]}}]",
        "upstreams: [{name: a, endpoints: [\"[::1]:1\", \"b:2\", \"unix:/c\"]}]"}) {
    const nlohmann::ordered_json dump = ToJson(MustParse(text));
    EXPECT_EQ(ToJson(MustParse(dump.dump())), dump) << text;
  }
}

TEST(ConfigData, ReadsTheUpstreamOption) {
  for (const auto& [text, endpoint] :
       {std::pair("127.0.0.1:8000", "127.0.0.1:8000"), std::pair("unix:/a.sock", "unix:/a.sock"),
        std::pair("http://llm:8000", "llm:8000"), std::pair("http://llm:8000/", "llm:8000"),
        std::pair("http://llm", "llm:80"), std::pair("http://[::1]", "[::1]:80"),
        std::pair("http://[::1]:81", "[::1]:81")}) {
    const Expected<Config, ConfigErrors> config = Default(text);
    ASSERT_TRUE(config.ok()) << config.error().ToString();
    EXPECT_EQ(config->upstreams.at(0).endpoints.at(0).ToString(), endpoint);
    EXPECT_EQ(config->listeners.at(0).upstream, "app");
  }
}

TEST(ConfigData, AnUpstreamOptionWithHttpsIsEncrypted) {
  const Expected<Config, ConfigErrors> config = Default("https://llm.example");
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->upstreams.at(0).endpoints.at(0).ToString(), "llm.example:443");
  EXPECT_TRUE(config->upstreams.at(0).tls.has_value());
  EXPECT_FALSE(Default("http://llm.example")->upstreams.at(0).tls.has_value());
}

TEST(ConfigData, ConnectsFasterToThisMachine) {
  UpstreamConfig upstream;
  const Address here = ParseAddress("127.0.0.1:1", AddressUse::kConnect).value();
  const Address there = ParseAddress("10.0.0.1:1", AddressUse::kConnect).value();
  EXPECT_EQ(upstream.ConnectTimeout(here), absl::Milliseconds(300));
  EXPECT_EQ(upstream.ConnectTimeout(there), absl::Seconds(1));
  upstream.connect_timeout = absl::Seconds(2);
  EXPECT_EQ(upstream.ConnectTimeout(here), absl::Seconds(2));
}

TEST(Effects, FollowTheRouteThenTheMethodThenThePreset) {
  RouteConfig route;
  EXPECT_EQ(route.EffectsOf("POST", "/orders"), Effects::kUnsafe);
  EXPECT_EQ(route.EffectsOf("PATCH", "/orders"), Effects::kUnsafe);
  for (const char* method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
    EXPECT_EQ(route.EffectsOf(method, "/orders"), Effects::kNone) << method;
  }
  route.preset = Preset::kOpenai;
  EXPECT_EQ(route.EffectsOf("POST", "/v1/chat/completions"), Effects::kNone);
  EXPECT_EQ(route.EffectsOf("POST", "/api/chat"), Effects::kNone);
  // Stored unless the body says otherwise, and the body is not looked into.
  EXPECT_EQ(route.EffectsOf("POST", "/v1/responses"), Effects::kUnsafe);
  route.effects = Effects::kKeyed;
  EXPECT_EQ(route.EffectsOf("POST", "/v1/responses"), Effects::kKeyed);
  EXPECT_EQ(route.EffectsOf("GET", "/v1/responses"), Effects::kKeyed);
}

TEST(Effects, OfThePresetsByPathAreThoseOfTheSemantics) {
  const Config config = MustParse("");
  std::string table;
  for (const RouteConfig& route : config.preset_routes) {
    const Effects effects = route.EffectsOf("POST", *route.match.path_template);
    EXPECT_EQ(route.match.methods, std::vector<std::string>{"POST"});
    table += *route.match.path_template + (effects == Effects::kNone ? " none\n" : " unsafe\n");
  }
  EXPECT_EQ(table,
            "/v1/chat/completions none\n"
            "/v1/completions none\n"
            "/v1/responses unsafe\n"
            "/v1/messages none\n"
            "/v1/embeddings none\n"
            "/v1/rerank none\n"
            "/v2/models/*/infer none\n"
            "/inference.GRPCInferenceService/ModelInfer none\n");
}

}  // namespace
}  // namespace outrigger::config
