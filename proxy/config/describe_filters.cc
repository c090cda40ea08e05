// The keys of rate_limit, retry, breaker and timeout.

#include "proxy/config/compound_types.h"
#include "proxy/config/description.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/section.h"

namespace outrigger::config {
namespace {

constexpr int64_t kMaxBurst = 1'000'000'000;

Type<RateLimitKey> DescribeRateLimitKey() {
  using S = RateLimitKey;
  return WordOrSection<S>({
      .words = {{"tenant", {S::Kind::kTenant, ""}},
                {"route", {S::Kind::kRoute, ""}},
                {"listener", {S::Kind::kListener, ""}}},
      .later = {"model"},
      .section = Section<S>("rate_limit_key")
                     .Key("header", &S::header, HeaderNameType(), "The value of this header",
                          "must be stated")
                     .Done(),
      .section_start = S{S::Kind::kHeader, ""},
  });
}

Type<RateLimitRule> DescribeRule() {
  using S = RateLimitRule;
  using A = RateLimitAlgorithm;
  return Section<S>("rate_limit_rule")
      .Key("name", &S::name, NameType(), "Shown in metrics, headers and logs")
      .Key("key", &S::key, List(DescribeRateLimitKey(), {.max = 8, .unique = true}),
           "What tells buckets apart; `[]` is one bucket for all")
      .Key("algorithm", &S::algorithm,
           OneWordOf<A>({{"token_bucket", A::kTokenBucket},
                         {"leaky_bucket", A::kLeakyBucket},
                         {"sliding_window", A::kSlidingWindow}}),
           "How the limit is kept. `sliding_window` admits `rate` in any window and has no burst")
      .Key("unit", &S::unit,
           OneWordOf<RateLimitUnit>({{"requests", RateLimitUnit::kRequests}}, {"tokens"}),
           "What is counted")
      .Key("rate", &S::rate, RateType(), "Admitted in the long run")
      .Key("burst", &S::burst, Or("auto", CountType({.min = 1, .max = kMaxBurst})),
           "Admitted at once after a pause; `auto` is the number in `rate`")
      .Key("mode", &S::mode, Or("auto", DescribeFilterMode()),
           "As the filter's `mode`, for this rule; `auto` is the filter's")
      .Key("max_keys", &S::max_keys, CountType({.min = 1, .max = 10'000'000}),
           "Buckets; only full ones are forgotten, newcomers beyond share one")
      .Later("oversize", "What happens to a request that costs more tokens than the burst")
      .Later("weights", "Prices of input, output and cached tokens")
      .Later("share", "The part of a fleet-wide limit that this pod may spend")
      .Done();
}

Type<BackoffSettings> DescribeBackoff() {
  using S = BackoffSettings;
  using K = BackoffKind;
  return WordOrSection<S>({
      .words = {{"local", kLocalBackoff}, {"provider", kProviderBackoff}},
      .section = Section<S>("backoff")
                     .Key("kind", &S::kind,
                          OneWordOf<K>({{"fixed", K::kFixed},
                                        {"exponential", K::kExponential},
                                        {"full_jitter", K::kFullJitter},
                                        {"equal_jitter", K::kEqualJitter},
                                        {"decorrelated", K::kDecorrelated},
                                        {"provider", K::kProvider}}),
                          "How the wait grows and spreads. `provider` is exponential × U(0.75, 1)")
                     .Key("base", &S::base, DurationType(), "The first wait, before jitter")
                     .Key("cap", &S::cap, DurationType(), "The longest wait, before jitter")
                     .Done(),
  });
}

Type<RetryBudgetSettings> DescribeBudget() {
  using S = RetryBudgetSettings;
  return Section<S>("retry_budget")
      .Key("ratio", &S::ratio, RatioType(), "Retries per first attempt")
      .Key("floor", &S::floor, CountType({.min = 0, .max = 1'000'000}),
           "Retries in each window on top of the ratio")
      .Key("window", &S::window, DurationType({.min = absl::Seconds(1), .max = absl::Hours(1)}),
           "The time over which both are counted")
      .Done();
}

// `connect`, `reset`, `timeout` or the status of an answer.
absl::StatusOr<std::string> ReadCause(std::string_view text) {
  if (text == "connect" || text == "reset" || text == "timeout") return std::string(text);
  const absl::StatusOr<int64_t> status = ParseCount(text);
  if (status.ok() && *status >= 400 && *status <= 599) return std::string(text);
  return absl::InvalidArgumentError("");
}

Type<RetryCauseSettings> DescribeCause() {
  using S = RetryCauseSettings;
  return Section<S>("retry_cause")
      .Key("retries", &S::retries, CountType({.min = 0, .max = 10}),
           "Retries for this cause; 0 is never")
      .Key("delay", &S::delay, DurationType({.min = absl::ZeroDuration()}),
           "The first wait, which then grows by `backoff`")
      .Done();
}

Type<ProbeSettings> DescribeProbe() {
  using S = ProbeSettings;
  return WordOrSection<S>({
      .words = {{"request", {S::Kind::kRequest}}},
      .section =
          Section<S>("breaker_probe")
              .Key("path", &S::path, PathType(), "GET this path of the upstream", "must be stated")
              .Key("timeout", &S::timeout, DurationType(), "How long that GET may take")
              .Done(),
      .section_start = S{S::Kind::kPath},
  });
}

Type<SlowCallSettings> DescribeSlow() {
  using S = SlowCallSettings;
  return Section<S>("slow_call")
      .Key("ttft", &S::ttft, DurationType(),
           "A call is slow when its first content comes later than this")
      .Key("ratio", &S::ratio, RatioType(0), "Slow calls in the window that open the breaker")
      .Done();
}

Type<AdaptiveTtftSettings> DescribeAdaptiveTtft() {
  using S = AdaptiveTtftSettings;
  // Times of an hour are told apart (timeout::TimeHistogram).
  const DurationRange range{.max = absl::Hours(1)};
  return Section<S>("adaptive_ttft")
      .Key("factor", &S::factor, NumberType({.min = 1.5, .max = 100}),
           "The limit is this many times the 99th percentile of the last five to ten minutes")
      .Key("floor", &S::floor, DurationType(range), "The shortest limit")
      .Key("cap", &S::cap, DurationType(range), "The longest limit")
      .Done();
}

}  // namespace

Type<FilterMode> DescribeFilterMode() {
  return OneWordOf<FilterMode>({{"enforce", FilterMode::kEnforce},
                                {"shadow", FilterMode::kShadow},
                                {"disabled", FilterMode::kDisabled}});
}

Type<RateLimitSettings> DescribeRateLimit() {
  using S = RateLimitSettings;
  return Section<S>("rate_limit")
      .Key("mode", &S::mode, DescribeFilterMode(),
           "`shadow` decides, counts and logs, but refuses nothing")
      .Key("headers", &S::headers,
           List(OneWordOf<RateLimitHeaders>(
                    {{"ietf", RateLimitHeaders::kIetf}, {"openai", RateLimitHeaders::kOpenai}}),
                {.unique = true}),
           "Which headers tell callers what is left: `RateLimit`, `RateLimit-Policy` (ietf), "
           "`x-ratelimit-*` (openai)")
      .Key("rules", &S::rules, List(DescribeRule(), {.max = 64}),
           "A request must pass all of them. A route's list replaces the chain's")
      .Later("inject_usage", "Asking the app for token usage in streams")
      .Done();
}

Type<RetrySettings> DescribeRetry() {
  using S = RetrySettings;
  return Section<S>("retry")
      .Key("attempts", &S::attempts, CountType({.min = 1, .max = 10}),
           "Tries for a request, the first included; 1 is no retry")
      .Key("backoff", &S::backoff, DescribeBackoff(),
           "The wait before a retry. `local` is {kind: full_jitter, base: 25ms, cap: 1s}, "
           "`provider` is {kind: provider, base: 500ms, cap: 8s}")
      .Key("budget", &S::budget, DescribeBudget(),
           "How many retries an upstream gets, whatever the requests are allowed")
      .Key("max_retry_after", &S::max_retry_after,
           DurationType({.min = absl::ZeroDuration(), .max = absl::Hours(1)}),
           "The longest wait that an upstream may ask for; a longer one goes to the caller")
      .Key("max_replay_body", &S::max_replay_body, SizeType({.max = size_t{1} << 30}),
           "Largest request body that is kept for a retry; bigger ones pass and are not retried")
      .Key("replay_pool", &S::replay_pool, SizeType({.max = size_t{16} << 30}),
           "All kept request bodies together")
      .Key("commit", &S::commit,
           OneWordOf<CommitPoint>(
               {{"content", CommitPoint::kContent}, {"headers", CommitPoint::kHeaders}}),
           "What a stream is held back for, and may be retried until: its first content or its "
           "headers")
      .Key("causes", &S::causes,
           Map("cause",
               TextType("connect, reset, timeout or a status from 400 to 599",
                        "^(connect|reset|timeout|[45][0-9][0-9])$", ReadCause),
               DescribeCause()),
           "Retries by cause, for example `{timeout: {retries: 3, delay: 1s}, \"503\": {retries: "
           "2, delay: 2s}}`")
      .Later("hedge", "A second request when the first is slow")
      .Done();
}

Type<BreakerSettings> DescribeBreaker() {
  using S = BreakerSettings;
  return Section<S>("breaker")
      .Key("mode", &S::mode, DescribeFilterMode(),
           "`shadow` decides, counts and logs, but refuses nothing")
      .Key("failure_ratio", &S::failure_ratio, RatioType(0),
           "Failed calls in the window that open the breaker")
      .Key("window", &S::window, DurationType({.min = absl::Seconds(1), .max = absl::Hours(1)}),
           "The time over which calls are counted")
      .Key("min_requests", &S::min_requests, CountType({.min = 1, .max = 1'000'000}),
           "Calls in the window below which no ratio counts")
      .Key("consecutive", &S::consecutive, CountType({.min = 1, .max = 1'000'000}),
           "Failures in a row that open the breaker")
      .Key("slow", &S::slow, DescribeSlow(), "When slow calls open the breaker")
      .Key("open_for", &S::open_for, DurationType(),
           "How long an open breaker waits before it probes; doubles with each failed probe")
      .Key("max_open_for", &S::max_open_for, DurationType(), "The longest such wait")
      .Key("successes_to_close", &S::successes_to_close, CountType({.min = 1, .max = 1000}),
           "Good probes in a row that close the breaker")
      .Key("probe", &S::probe, DescribeProbe(),
           "What a half-open breaker tries: a caller's `request`, or a GET of its own")
      .Key("throttle_gate", &S::throttle_gate,
           OneWordOf<ThrottleGate>(
               {{"disabled", ThrottleGate::kDisabled}, {"enabled", ThrottleGate::kEnabled}}),
           "Whether an upstream's 429 or 529 holds its tenant and route back until `Retry-After`")
      .Done();
}

Type<TimeoutSettings> DescribeTimeout() {
  using S = TimeoutSettings;
  return Section<S>("timeout")
      .Key("overall", &S::overall, DurationType(),
           "The whole request with all its tries; `max_stream` takes its place once the answer is "
           "an event stream. The embeddings preset has 30s")
      .Key("per_try", &S::per_try, Or("none", DurationType()), "Each try")
      .Key("ttft", &S::ttft, DurationType(), "Until the first content event of a stream")
      .Key("adaptive", &S::adaptive, Or("none", DescribeAdaptiveTtft()),
           "A limit for the first content that is learned from the streams of the route and its "
           "upstream; `ttft` holds until 100 were seen lately. `{}` has the defaults below")
      .Key("inter_token", &S::inter_token, DurationType(),
           "Between content events of a stream; comments and pings do not count")
      .Key("max_stream", &S::max_stream, DurationType(), "A whole stream")
      .Key("tunnel_idle", &S::tunnel_idle, Or("none", DurationType()),
           "How long nothing may move in a tunnel, a WebSocket for example; no other limit of time "
           "holds for one that was opened")
      .Key("trust_sdk_header", &S::trust_sdk_header, BoolType(),
           "Whether `x-stainless-read-timeout` of the callers shortens the deadline")
      .Later("mode", "Timeouts that only report")
      .Done();
}

}  // namespace outrigger::config
