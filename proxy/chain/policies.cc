#include "proxy/chain/policies.h"

#include <algorithm>

namespace outrigger::chain {
namespace {

// Of the `provider` preset: what the SDKs of OpenAI and Anthropic do.
constexpr double kProviderJitterFloor = 0.75;

retry::BackoffPolicy ToPolicy(const config::BackoffSettings& settings) {
  using From = config::BackoffKind;
  using To = retry::BackoffKind;
  retry::BackoffPolicy policy;
  policy.base = settings.base;
  policy.cap = settings.cap;
  switch (settings.kind) {
    case From::kFixed:
      policy.kind = To::kFixed;
      break;
    case From::kExponential:
      policy.kind = To::kExponential;
      break;
    case From::kFullJitter:
      policy.kind = To::kFullJitter;
      break;
    case From::kEqualJitter:
      policy.kind = To::kEqualJitter;
      break;
    case From::kDecorrelated:
      policy.kind = To::kDecorrelated;
      break;
    case From::kProvider:
      policy.kind = To::kEqualJitter;
      policy.jitter_floor = kProviderJitterFloor;
      break;
  }
  return policy;
}

template <class Mode>
Mode ToMode(config::FilterMode mode) {
  switch (mode) {
    case config::FilterMode::kEnforce:
      return Mode::kEnforce;
    case config::FilterMode::kShadow:
      return Mode::kShadow;
    case config::FilterMode::kDisabled:
      break;
  }
  return Mode::kDisabled;
}

rate_limit::KeyPart ToKeyPart(const config::RateLimitKey& key) {
  using From = config::RateLimitKey::Kind;
  using To = rate_limit::KeyPart::Kind;
  switch (key.kind) {
    case From::kTenant:
      return {To::kTenant, ""};
    case From::kRoute:
      return {To::kRoute, ""};
    case From::kListener:
      return {To::kListener, ""};
    case From::kHeader:
      break;
  }
  return {To::kHeader, key.header};
}

rate_limit::Algorithm ToAlgorithm(config::RateLimitAlgorithm algorithm) {
  switch (algorithm) {
    case config::RateLimitAlgorithm::kLeakyBucket:
      return rate_limit::Algorithm::kLeakyBucket;
    case config::RateLimitAlgorithm::kSlidingWindow:
      return rate_limit::Algorithm::kSlidingWindow;
    case config::RateLimitAlgorithm::kTokenBucket:
      break;
  }
  return rate_limit::Algorithm::kTokenBucket;
}

rate_limit::Rule ToRule(const config::RateLimitRule& settings, config::FilterMode default_mode) {
  rate_limit::Rule rule;
  rule.name = settings.name;
  for (const config::RateLimitKey& key : settings.key) rule.key.push_back(ToKeyPart(key));
  rule.algorithm = ToAlgorithm(settings.algorithm);
  rule.rate = rate_limit::Rate::Make(settings.rate.count, settings.rate.per).value();
  rule.burst = settings.EffectiveBurst();
  rule.mode = ToMode<rate_limit::Mode>(settings.mode.value_or(default_mode));
  rule.max_buckets = static_cast<size_t>(settings.max_keys);
  return rule;
}

std::shared_ptr<const idempotency::JsonRules> ToJsonRules(
    const config::FingerprintSettings& settings) {
  if (settings.mode == config::FingerprintSettings::Mode::kExact) return nullptr;
  std::vector<JsonPointer> ignored;
  for (const std::string& pointer : settings.json.ignore) {
    ignored.push_back(ParseJsonPointer(pointer).value());
  }
  return std::make_shared<const idempotency::JsonRules>(
      idempotency::JsonRules{.ignored = idempotency::IgnoredMembers(std::move(ignored)),
                             .max_bytes = settings.json.max_body});
}

}  // namespace

idempotency::IdempotencyPolicy ToPolicy(const config::IdempotencySettings& settings) {
  using config::InFlightSettings;
  idempotency::IdempotencyPolicy policy;
  policy.key_headers = settings.key_headers;
  policy.max_key_bytes = static_cast<size_t>(settings.key_max_len);
  policy.required = settings.required;
  switch (settings.in_flight.mode) {
    case InFlightSettings::Mode::kJoin:
      policy.in_flight = idempotency::InFlight::kJoin;
      break;
    case InFlightSettings::Mode::kReject:
      policy.in_flight = idempotency::InFlight::kReject;
      break;
    case InFlightSettings::Mode::kWait:
      policy.in_flight = idempotency::InFlight::kWait;
      break;
  }
  policy.in_flight_wait = settings.in_flight.wait;
  policy.scope = settings.scope == config::IdempotencyScope::kTenant
                     ? idempotency::Scope::kTenant
                     : idempotency::Scope::kAnonymous;
  policy.json = ToJsonRules(settings.fingerprint);
  policy.key_ttl = settings.key_ttl;
  policy.response_ttl = settings.response_ttl;
  policy.max_body_bytes = settings.max_body;
  policy.replay_pace = settings.replay_pace == config::ReplayPace::kOriginal
                           ? idempotency::ReplayPace::kOriginal
                           : idempotency::ReplayPace::kBurst;
  policy.on_full = settings.on_full == config::OnFull::kReject ? idempotency::OnFull::kReject
                                                               : idempotency::OnFull::kBypass;
  policy.on_owner_disconnect = settings.on_owner_disconnect == config::OnOwnerDisconnect::kFinish
                                   ? idempotency::OnOwnerDisconnect::kFinish
                                   : idempotency::OnOwnerDisconnect::kCancel;
  policy.max_waiters = static_cast<size_t>(settings.max_waiters);
  policy.max_detached = static_cast<size_t>(settings.detached.max);
  policy.detached_timeout = settings.detached.timeout;
  return policy;
}

rate_limit::Policy ToPolicy(const config::RateLimitSettings& settings) {
  const auto has = [&](config::RateLimitHeaders kind) {
    return std::find(settings.headers.begin(), settings.headers.end(), kind) !=
           settings.headers.end();
  };
  rate_limit::Policy policy;
  policy.mode = ToMode<rate_limit::Mode>(settings.mode);
  policy.ietf_headers = has(config::RateLimitHeaders::kIetf);
  policy.openai_headers = has(config::RateLimitHeaders::kOpenai);
  for (const config::RateLimitRule& rule : settings.rules) {
    policy.rules.push_back(ToRule(rule, settings.mode));
  }
  return policy;
}

retry::RetryPolicy ToPolicy(const config::RetrySettings& settings) {
  retry::RetryPolicy policy;
  policy.attempts = static_cast<int>(settings.attempts);
  policy.backoff = ToPolicy(settings.backoff);
  policy.budget = {.ratio = settings.budget.ratio,
                   .floor = static_cast<uint32_t>(settings.budget.floor),
                   .window = settings.budget.window};
  policy.max_retry_after = settings.max_retry_after;
  policy.max_replay_body = settings.max_replay_body;
  for (const auto& [cause, rule] : settings.causes) {
    policy.causes.push_back({cause, static_cast<int>(rule.retries), rule.delay});
  }
  return policy;
}

breaker::Policy ToPolicy(const config::BreakerSettings& settings) {
  breaker::Policy policy;
  policy.mode = ToMode<breaker::Mode>(settings.mode);
  policy.failure_ratio = settings.failure_ratio;
  policy.window = settings.window;
  policy.min_requests = static_cast<int>(settings.min_requests);
  policy.consecutive = static_cast<int>(settings.consecutive);
  policy.slow = {.ttft = settings.slow.ttft, .ratio = settings.slow.ratio};
  policy.open_for = settings.open_for;
  policy.max_open_for = settings.max_open_for;
  policy.successes_to_close = static_cast<int>(settings.successes_to_close);
  if (settings.probe.kind == config::ProbeSettings::Kind::kPath) {
    policy.probe = {.path = settings.probe.path, .timeout = settings.probe.timeout};
  }
  policy.throttle_gate = settings.throttle_gate == config::ThrottleGate::kEnabled;
  return policy;
}

timeout::TimeoutPolicy ToPolicy(const config::TimeoutSettings& settings) {
  return {.overall = settings.overall,
          .per_try = settings.per_try.value_or(absl::InfiniteDuration()),
          .ttft = settings.ttft,
          .inter_token = settings.inter_token,
          .max_stream = settings.max_stream};
}

timeout::AdaptivePolicy ToAdaptivePolicy(const config::TimeoutSettings& settings) {
  return {.factor = settings.adaptive->factor,
          .floor = settings.adaptive->floor,
          .cap = settings.adaptive->cap,
          .otherwise = settings.ttft};
}

}  // namespace outrigger::chain
