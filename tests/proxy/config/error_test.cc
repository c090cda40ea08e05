// Each kind of error names its place, its key and what to do.

#include <string>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

// The messages of a text that must not be accepted.
std::string Errors(std::string_view text) {
  const Expected<Config, ConfigErrors> config = Parse(text, "f");
  return config.ok() ? "accepted" : config.error().ToString();
}

struct Case {
  std::string_view text;
  std::string_view errors;
};

void ExpectErrors(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(Errors(c.text), c.errors) << c.text;
}

TEST(ConfigErrors, NameUnknownKeysAndWhatWasProbablyMeant) {
  ExpectErrors({
      {"wrokers: 2", "f:1:1: wrokers: unknown key, did you mean workers?"},
      {"log: {levle: info}", "f:1:7: log.levle: unknown key, did you mean level?"},
      {"log:\n  colour: red", "f:2:3: log.colour: unknown key; known here: level or access"},
      {"filters:\n- retry: {attempt: 2}",
       "f:2:11: filters[0].retry.attempt: unknown key, did you mean attempts?"},
      {"filters:\n- retrys: {}", "f:2:3: filters[0].retrys: unknown key, did you mean retry?"},
      {"filters: [brake]",
       "f:1:11: filters[0]: expected idempotency, rate_limit, retry, breaker or timeout, got "
       "'brake'"},
  });
}

TEST(ConfigErrors, NameDuplicateKeys) {
  ExpectErrors({
      {"workers: 1\nworkers: 2", "f:2:1: workers: duplicate key"},
      {"log: {level: info, level: warn}", "f:1:20: log.level: duplicate key"},
      {"routes: [{match: {headers: {x-a: b, X-A: c}}}]",
       "f:1:37: routes[0].match.headers.X-A: duplicate key"},
  });
}

TEST(ConfigErrors, NameValuesOfTheWrongType) {
  ExpectErrors({
      {"workers: many", "f:1:10: workers: expected a whole number, got 'many' (or auto)"},
      {"workers: \"3\"",
       "f:1:10: workers: expected a whole number, got the text \"3\"; remove the quotes (or auto)"},
      {"workers: [1]",
       "f:1:10: workers: expected a whole number from 1 to 256, got a list (or auto)"},
      {"workers:", "f:1:1: workers: expected a whole number from 1 to 256, got nothing (or auto)"},
      {"log: info", "f:1:6: log: expected keys and values, got 'info'"},
      {"routes: {}", "f:1:9: routes: expected a list, as in [a, b], got a mapping"},
      {"filters: {retry: {}}", "f:1:10: filters: expected a list of filters, got a mapping"},
      {"filters:\n- {retry: {}, timeout: {}}",
       "f:2:3: filters[0]: expected one filter, as in `- retry: {attempts: 2}`, got a mapping with "
       "several keys"},
      {"filters: [{idempotency: {required: yes}}]",
       "f:1:36: filters[0].idempotency.required: expected true or false, got 'yes'"},
      {"filters: [{retry: {causes: [503]}}]",
       "f:1:28: filters[0].retry.causes: expected a mapping, as in {a: b}, got a list"},
      {"filters: [{timeout: {overall: 5}}]",
       "f:1:31: filters[0].timeout.overall: '5' has no unit; write 5s or 5ms"},
      {"listeners: [{limits: {headers: 1 MiB}}]",
       "f:1:32: listeners[0].limits.headers: expected a size such as 512, 64KiB or 2MiB, got '1 "
       "MiB'"},
      {"filters: [{rate_limit: {rules: [{rate: 100}]}}]",
       "f:1:40: filters[0].rate_limit.rules[0].rate: expected a rate such as 100/s, 6000/m or "
       "5/10s, got '100'"},
      {"filters: [{retry: {budget: {ratio: 20}}}]",
       "f:1:36: filters[0].retry.budget.ratio: expected a ratio from 0 to 1, such as 20% or 0.2, "
       "got '20'"},
  });
}

TEST(ConfigErrors, SayThatYamlReadsModesAsBooleans) {
  ExpectErrors({
      {"filters: [{breaker: {mode: on}}]",
       "f:1:28: filters[0].breaker.mode: expected enforce, shadow or disabled, got 'on', which "
       "YAML "
       "reads as a boolean"},
      {"filters: [{rate_limit: {mode: False}}]",
       "f:1:31: filters[0].rate_limit.mode: expected enforce, shadow or disabled, got 'False', "
       "which YAML reads as a boolean"},
      {"filters: [{breaker: {mode: enforced}}]",
       "f:1:28: filters[0].breaker.mode: expected enforce, shadow or disabled, got 'enforced'; did "
       "you mean enforce?"},
  });
}

TEST(ConfigErrors, NameValuesOutOfRange) {
  ExpectErrors({
      {"workers: 0", "f:1:10: workers: must be from 1 to 256, got '0' (or auto)"},
      {"filters: [{retry: {attempts: 11}}]",
       "f:1:30: filters[0].retry.attempts: must be from 1 to 10, got '11'"},
      {"filters: [{rate_limit: {rules: [{rate: 0/s}]}}]",
       "f:1:40: filters[0].rate_limit.rules[0].rate: must be from 1 to 1000000000 per interval, "
       "got "
       "'0/s'"},
      {"filters: [{rate_limit: {rules: [{burst: 0}]}}]",
       "f:1:41: filters[0].rate_limit.rules[0].burst: must be from 1 to 1000000000, got '0' (or "
       "auto)"},
      {"filters: [{breaker: {failure_ratio: 0%}}]",
       "f:1:37: filters[0].breaker.failure_ratio: must be above 0% and at most 100%, got '0%'"},
      {"listeners: []", "f:1:12: listeners: must have from 1 to 64 elements, got 0"},
      {"listeners: [{limits: {headers: 2MiB}}]",
       "f:1:32: listeners[0].limits.headers: must be from 1KiB to 1MiB, got '2MiB'"},
      {"filters: [{timeout: {adaptive: enabled}}]",
       "f:1:32: filters[0].timeout.adaptive: expected keys and values, got 'enabled' (or "
       "none)"},
      {"filters: [{timeout: {adaptive: {factor: 1}}}]",
       "f:1:41: filters[0].timeout.adaptive.factor: must be from 1.5 to 100, got '1'"},
      {"filters: [{timeout: {adaptive: {factor: 3x}}}]",
       "f:1:41: filters[0].timeout.adaptive.factor: expected a number, such as 3 or 2.5, got '3x'"},
      {"filters: [{timeout: {adaptive: {factor: \"3\"}}}]",
       "f:1:41: filters[0].timeout.adaptive.factor: expected a number, got the text \"3\"; remove "
       "the quotes"},
      {"filters: [{timeout: {adaptive: {cap: 2h}}}]",
       "f:1:38: filters[0].timeout.adaptive.cap: must be from 1ms to 1h, got '2h'"},
      {"filters: [{timeout: {ttft: 400d}}]",
       "f:1:28: filters[0].timeout.ttft: must be from 1ms to 365d, got '400d'"},
  });
}

TEST(ConfigErrors, RefuseKeysAndValuesOfLaterVersions) {
  ExpectErrors({
      {"readiness: {flip_on: [breaker, progress]}",
       "f:1:32: readiness.flip_on[1]: not supported yet: 'progress'; use breaker"},
      {"upstreams: [{balance: hash}]",
       "f:1:23: upstreams[0].balance: not supported yet: 'hash'; use least_request or round_robin"},
      {"filters: [{idempotency: {store: {sqlite: {path: /a}}}}]",
       "f:1:33: filters[0].idempotency.store: not supported yet: 'sqlite'; use memory"},
      {"filters: [{idempotency: {store: redis}}]",
       "f:1:33: filters[0].idempotency.store: not supported yet: 'redis'; use memory"},
      {"tenant: {from: [mtls, jwt, api_key]}",
       "f:1:23: tenant.from[1]: not supported yet: 'jwt'; use mtls or authorization\n"
       "f:1:28: tenant.from[2]: not supported yet: 'api_key'; use mtls or authorization"},
      {"tracing: {otlp: \"http://c:4318\"}",
       "f:1:17: tracing.otlp: not supported yet: 'http://c:4318'; only none is"},
      {"tracing: {otlp: {endpoint: x}}",
       "f:1:17: tracing.otlp: not supported yet: a mapping; only none is"},
      {"filters: [{rate_limit: {rules: [{unit: tokens}]}}]",
       "f:1:40: filters[0].rate_limit.rules[0].unit: not supported yet: 'tokens'; use requests"},
      {"filters: [{rate_limit: {rules: [{key: [model]}]}}]",
       "f:1:40: filters[0].rate_limit.rules[0].key[0]: not supported yet: 'model'; use tenant, "
       "route, listener or {header}"},
      {"filters: [{retry: {hedge: {}}}]", "f:1:20: filters[0].retry.hedge: not supported yet"},
  });
}

TEST(ConfigErrors, NameTlsThatCannotBe) {
  const std::string pair = "cert: /a.crt, key: /a.key";
  const auto listener = [&pair](std::string_view rest) {
    return "listeners: [{tls: {" + pair + ", " + std::string(rest) + "}}]";
  };
  ExpectErrors({
      {"listeners: [{tls: {}}]", "f:1:19: listeners[0].tls: cert and key must be stated"},
      {"listeners: [{tls: {cert: /a}}]",
       "f:1:19: listeners[0].tls: key must be stated, because cert is"},
      {"listeners: [{tls: {cert: a.crt, key: /a}}]",
       "f:1:26: listeners[0].tls.cert: expected the absolute path of a file, such as "
       "/certs/tls.crt, got 'a.crt'"},
      {listener("client_auth: require"),
       "f:1:19: listeners[0].tls: client_ca must be stated, because client_auth asks for "
       "certificates"},
      {listener("client_ca: /ca"),
       "f:1:58: listeners[0].tls.client_ca: has no effect without client_auth: optional or "
       "require"},
      {listener("client_san: [\"dns:a\"]"),
       "f:1:59: listeners[0].tls.client_san: has no effect without client_auth: optional or "
       "require"},
      {listener("client_ca: /ca, client_auth: require, client_san: [web]"),
       "f:1:98: listeners[0].tls.client_san[0]: expected a name such as "
       "spiffe://example.org/ns/prod/* or dns:web.example.org, got 'web'"},
      {"upstreams: [{tls: {cert: /a}}]",
       "f:1:19: upstreams[0].tls: key must be stated, because cert is"},
      {"upstreams: [{endpoints: [\"unix:/s\"], tls: {}}]",
       "f:1:43: upstreams[0].tls: server_name or server_san must be stated: unix:/s is no name to "
       "look for in the certificate"},
      {"upstreams: [{tls: {server_name: \"a/b\"}}]",
       "f:1:33: upstreams[0].tls.server_name: expected a host name or address, got 'a/b'"},
  });
}

TEST(ConfigErrors, NameAddressesThatCannotBe) {
  ExpectErrors({
      {"admin: {address: \"15020\"}",
       "f:1:18: admin.address: expected host:port, [v6]:port or unix:/path, got '15020'"},
      {"listeners: [{address: \"::1:80\"}]",
       "f:1:23: listeners[0].address: an IPv6 address needs brackets and a port, as in [::1]:8000, "
       "got '::1:80'"},
      {"upstreams: [{endpoints: [\"a:0\"]}]",
       "f:1:26: upstreams[0].endpoints[0]: the port must be a number from 1 to 65535, got '0'"},
      {"upstreams: [{endpoints: [\"a:1\", \"a:1\"]}]",
       "f:1:33: upstreams[0].endpoints[1]: 'a:1' is listed twice"},
  });
}

TEST(ConfigErrors, NamePathsThatWouldNeverMatch) {
  ExpectErrors({
      {"routes: [{match: {path: v1}}]",
       "f:1:25: routes[0].match.path: expected a path such as /v1/models, got 'v1'"},
      {"routes: [{match: {prefix: //v1}}]",
       "f:1:27: routes[0].match.prefix: write the path in its normal form, without //, /./, /../ "
       "and needless %XX, got '//v1'"},
      {"routes: [{match: {path: /v1/%63hat}}]",
       "f:1:25: routes[0].match.path: write the path in its normal form, without //, /./, /../ and "
       "needless %XX, got '/v1/%63hat'"},
      {"routes: [{match: {path: /a/..}}]",
       "f:1:25: routes[0].match.path: write the path in its normal form, without //, /./, /../ and "
       "needless %XX, got '/a/..'"},
      {"routes: [{match: {path: \"/a?b\"}}]",
       "f:1:25: routes[0].match.path: a path has no spaces, '?' or '#', got '/a?b'"},
      {"routes: [{match: {path: \"/a/*\"}}]",
       "f:1:25: routes[0].match.path: '*' stands for a segment only in `template`, got '/a/*'"},
      {"routes: [{match: {template: \"/a/b*\"}}]",
       "f:1:29: routes[0].match.template: '*' or {name} must be a whole segment, got 'b*'"},
      {"routes: [{match: {methods: [post]}}]",
       "f:1:29: routes[0].match.methods[0]: methods are written in capital letters, got 'post'"},
      {"routes: [{match: {path: /a, prefix: /b}}]",
       "f:1:18: routes[0].match: path, prefix and template exclude each other"},
  });
}

TEST(ConfigErrors, NameJsonPointersThatAreNone) {
  const std::string line = "filters: [{idempotency: {fingerprint: {json: {ignore: [/a, ";
  const std::string where = "f:1:60: filters[0].idempotency.fingerprint.json.ignore[1]: ";
  ExpectErrors({
      {line + "user]}}}}]", where + "not a JSON Pointer: it must begin with '/', got 'user'"},
      {line + "/a~2]}}}}]",
       where + "not a JSON Pointer: after '~' must come 0 (for '~') or 1 (for '/'), got '/a~2'"},
      {line + "'']}}}}]",
       where + "expected a JSON Pointer such as /metadata/trace_id, got ''"},
      {line + "[/b]]}}}}]",
       where + "expected a JSON Pointer such as /metadata/trace_id, got a list"},
      {line + "/a]}}}}]", where + "'/a' is listed twice"},
      {"filters: [{idempotency: {fingerprint: {json: {ignore: /a}}}}]",
       "f:1:55: filters[0].idempotency.fingerprint.json.ignore: expected a list, as in [a, b], got "
       "'/a'"},
      {"filters: [{idempotency: {fingerprint: yaml}}]",
       "f:1:39: filters[0].idempotency.fingerprint: expected exact, json or {json}, got 'yaml'"},
      {"filters: [{idempotency: {fingerprint: {json: {max_body: 0}}}}]",
       "f:1:57: filters[0].idempotency.fingerprint.json.max_body: must be from 1B to 16MiB, got "
       "'0'"},
      {"memory_budget: 2MiB\nfilters: [{idempotency: {max_body: 1KiB, max_bodies: 1KiB, "
       "fingerprint: {json: {max_body: 3MiB}}}}]",
       "f:2:91: filters[0].idempotency.fingerprint.json.max_body: max_body (3MiB) must not be "
       "larger than memory_budget (2MiB)"},
  });
}

TEST(ConfigErrors, NameKeysThatContradictEachOther) {
  ExpectErrors({
      {"upstreams: [{health: {grpc: server}}]",
       "f:1:29: upstreams[0].health.grpc: needs protocol: http2"},
      {"upstreams: [{protocol: http2, health: {path: /h, grpc: a.B}}]",
       "f:1:56: upstreams[0].health.grpc: is not possible together with path"},
      {"admin: {drain: {lame_duck: 30s}}",
       "f:1:28: admin.drain.lame_duck: lame_duck (30s) must not be longer than timeout (25s)"},
      {"filters: [{timeout: {overall: 10s, per_try: 11s}}]",
       "f:1:45: filters[0].timeout.per_try: per_try (11s) must not be longer than overall (10s)"},
      {"filters: [{timeout: {max_stream: 45s}}]",
       "f:1:21: filters[0].timeout.ttft: ttft (60s) must not be longer than max_stream (45s)"},
      {"filters: [{timeout: {adaptive: {floor: 200s}}}]",
       "f:1:40: filters[0].timeout.adaptive.floor: floor (200s) must not be longer than cap "
       "(120s)"},
      {"filters: [{timeout: {ttft: 30s, inter_token: 30s, max_stream: 90s, adaptive: {}}}]",
       "f:1:78: filters[0].timeout.adaptive.cap: adaptive.cap (120s) must not be longer than "
       "max_stream (90s)"},
      {"filters: [{idempotency: {max_bodies: 1MiB}}]",
       "f:1:25: filters[0].idempotency.max_body: max_body (2MiB) must not be larger than "
       "max_bodies "
       "(1MiB)"},
      {"memory_budget: 8MiB\nfilters: [{idempotency: {max_bodies: 12MiB}}]",
       "f:2:38: filters[0].idempotency.max_bodies: max_bodies (12MiB) must not be larger than "
       "memory_budget (8MiB)"},
      {"filters: [{idempotency: {key_ttl: 10m}}]",
       "f:1:25: filters[0].idempotency.response_ttl: response_ttl (1h) must not be longer than "
       "key_ttl (600s)"},
      {"filters: [{retry: {backoff: {base: 2s}}}]",
       "f:1:36: filters[0].retry.backoff.base: base (2s) must not be longer than cap (1s)"},
      {"filters: [{retry: {causes: {\"404\": {retries: 1}}}}]",
       "f:1:36: filters[0].retry.causes.404: is never retried: the same request would get the same "
       "answer"},
      {"filters: [{breaker: {open_for: 2m}}]",
       "f:1:32: filters[0].breaker.open_for: open_for (120s) must not be longer than max_open_for "
       "(60s)"},
      {"filters: [{breaker: {probe: {timeout: 1s}}}]",
       "f:1:29: filters[0].breaker.probe: path must be stated"},
      {"filters: [{rate_limit: {rules: [{key: [{}]}]}}]",
       "f:1:40: filters[0].rate_limit.rules[0].key[0]: header must be stated"},
      {"filters: [{rate_limit: {rules: [{algorithm: sliding_window, burst: 5}]}}]",
       "f:1:68: filters[0].rate_limit.rules[0].burst: sliding_window has no burst; remove the key"},
      {"upstreams: [{health: {inference: {body: a}}}]",
       "f:1:34: upstreams[0].health.inference: path must be stated"},
      {"upstreams: [{health: {inference: {path: /a, method: GET, body: a}}}]",
       "f:1:64: upstreams[0].health.inference.body: has no effect with method: GET"},
      {"upstreams: [{health: {inference: {path: /a, headers: {Host: a}}}}]",
       "f:1:54: upstreams[0].health.inference.headers: host is not for a probe to state"},
      {"upstreams: [{health: {timeout: 6s}}]",
       "f:1:32: upstreams[0].health.timeout: timeout (6s) must not be longer than interval (5s)"},
      {"filters: [retry]\nroutes: [{filters: {timeout: {}}}]",
       "f:2:30: routes[0].filters.timeout: timeout does not stand in the chain (filters), so these "
       "settings would have no effect"},
      {"routes: [{filters: {timeout: {per_try: 301s}}}]",
       "f:1:40: routes[0].filters.timeout.per_try: per_try (301s) must not be longer than overall "
       "(300s)"},
  });
}

TEST(ConfigErrors, NameReferencesToNothingAndNamesUsedTwice) {
  ExpectErrors({
      {"listeners: [{upstream: ap}]",
       "f:1:24: listeners[0].upstream: there is no upstream 'ap', did you mean app?"},
      {"routes:\n- upstream: elsewhere",
       "f:2:13: routes[0].upstream: there is no upstream 'elsewhere'"},
      {"upstreams: [{name: a}, {name: a}]",
       "f:1:31: upstreams[1].name: the name 'a' is used twice"},
      {"upstreams: [{}, {}]", "f:1:17: upstreams[1].name: the name 'app' is used twice"},
      {"routes: [{name: route-2}, {}]", "f:1:27: routes[1].name: the name 'route-2' is used twice"},
      {"filters: [{rate_limit: {rules: [{}, {}]}}]",
       "f:1:37: filters[0].rate_limit.rules[1].name: the name 'requests' is used twice"},
      {"listeners: [{name: a, address: \"0.0.0.0:1\"}, {name: b, address: \"0.0.0.0:1\"}]",
       "f:1:65: listeners[1].address: 0.0.0.0:1 is already the address of listeners[0]"},
      {"listeners: [{address: \"0.0.0.0:15020\"}]",
       "f:1:23: listeners[0].address: 0.0.0.0:15020 is already the address of admin"},
      {"admin: {grpc_address: \"0.0.0.0:15020\"}",
       "f:1:23: admin.grpc_address: 0.0.0.0:15020 is already the address of admin"},
      {"{admin: {grpc_address: \"0.0.0.0:1\"}, listeners: [{address: \"0.0.0.0:1\"}]}",
       "f:1:60: listeners[0].address: 0.0.0.0:1 is already the address of admin.grpc_address"},
  });
}

TEST(ConfigErrors, AreShownAllAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(
      Errors("log: {access: some}\n"
             "filters:\n"
             "- timeout: {overall: 1s, per_try: 2s}\n"
             "- retry: {attempts: 0}\n"
             "routes:\n"
             "- upstream: nowhere\n"
             "wrokers: 1\n"),
      "f:1:15: log.access: expected all, errors or none, got 'some'\n"
      "f:3:3: filters[0]: timeout must stand after retry: outside of retry its limits for one "
      "try would cut all tries together\n"
      "f:3:35: filters[0].timeout.per_try: per_try (2s) must not be longer than overall (1s)\n"
      "f:4:21: filters[1].retry.attempts: must be from 1 to 10, got '0'\n"
      "f:6:13: routes[0].upstream: there is no upstream 'nowhere'\n"
      "f:7:1: wrokers: unknown key, did you mean workers?");
}

TEST(ConfigErrors, DoNotFollowFromOtherErrors) {
  // The default of `overall` is no reason to complain about `per_try`, and so on.
  ExpectErrors({
      {"filters: [{timeout: {overall: 1 h, per_try: 10m}}]",
       "f:1:31: filters[0].timeout.overall: expected a duration such as 250ms, 5s or 1h30m, got '1 "
       "h'"},
      {"upstreams: [{name: \"a b\"}]\nlisteners: [{upstream: a_b}]",
       "f:1:20: upstreams[0].name: expected a name of at most 64 letters, digits, '.', '_' and "
       "'-', "
       "got 'a b'"},
      {"admin: {address: x}\nlisteners: [{address: \"0.0.0.0:15020\"}]",
       "f:1:18: admin.address: expected host:port, [v6]:port or unix:/path, got 'x'"},
      {"filters: [{timeout: {overall: 1 h}}]\nroutes: [{filters: {timeout: {per_try: 10m}}}]",
       "f:1:31: filters[0].timeout.overall: expected a duration such as 250ms, 5s or 1h30m, got '1 "
       "h'"},
  });
}

TEST(ConfigErrors, NameInferenceProbesThatCannotBe) {
  const std::string prefix = "upstreams: [{health: {inference: {path: /a, ";
  const std::string body(65537, 'x');
  const struct {
    std::string text;
    std::string_view errors;
  } cases[] = {
      {"upstreams: [{health: {inference: {path: v1/completions}}}]",
       "f:1:41: upstreams[0].health.inference.path: expected a path such as /v1/models, got "
       "'v1/completions'"},
      {"upstreams: [{health: {inference: enabled}}]",
       "f:1:34: upstreams[0].health.inference: expected keys and values, got 'enabled' (or none)"},
      {prefix + "method: HEAD}}}]",
       "f:1:53: upstreams[0].health.inference.method: expected POST, GET or PUT, got 'HEAD'"},
      {prefix + "timeout: 0s}}}]",
       "f:1:54: upstreams[0].health.inference.timeout: must be from 1ms to 365d, got '0s'"},
      // YAML takes it for keys and values.
      {prefix + "body: {model: m}}}}]",
       "f:1:51: upstreams[0].health.inference.body: expected a text in quotes of at most 64KiB, "
       "got a mapping"},
      // Neither a long body nor a key belongs into a log.
      {prefix + "body: " + body + "}}}]",
       "f:1:51: upstreams[0].health.inference.body: must be at most 64KiB, got 65537 bytes"},
      {prefix + "headers: {x-key: \"sec\\nret\"}}}}]",
       "f:1:62: upstreams[0].health.inference.headers.x-key: a header's value has no control "
       "characters"},
      {prefix + "headers: {x-key: \"secret \"}}}}]",
       "f:1:62: upstreams[0].health.inference.headers.x-key: a header's value neither is empty nor "
       "has spaces around it"},
  };
  for (const auto& c : cases) EXPECT_EQ(Errors(c.text), c.errors) << c.text.substr(0, 200);
}

TEST(ConfigErrors, AreLimitedInNumber) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += fmt::format("key{}: 1\n", i);
  const Expected<Config, ConfigErrors> config = Parse(text, "f");
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().errors.size(), 1001);
  EXPECT_EQ(config.error().errors.back().message, "too many errors, the rest is not shown");
}

TEST(ConfigErrors, OfTheFileItselfNameTheReason) {
  const Expected<Config, ConfigErrors> missing = LoadFile("/does/not/exist.yaml");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().ToString(),
            "/does/not/exist.yaml: cannot read the file: No such file or directory");
  const Expected<Config, ConfigErrors> directory = LoadFile("/");
  ASSERT_FALSE(directory.ok());
  EXPECT_EQ(directory.error().ToString(), "/: cannot read the file: Is a directory");
}

TEST(ConfigErrors, OfTheUpstreamOptionNameIt) {
  for (const auto& [upstream, message] : std::vector<std::pair<std::string, std::string>>{
           {"8000", "--upstream: expected host:port, [v6]:port or unix:/path, got '8000'"},
           {"http://a:1/v1",
            "--upstream: the port must be a number from 1 to 65535, got '1/v1'"}}) {
    const Expected<Config, ConfigErrors> config = Default(upstream);
    ASSERT_FALSE(config.ok()) << upstream;
    EXPECT_EQ(config.error().ToString(), message);
  }
}

}  // namespace
}  // namespace outrigger::config
