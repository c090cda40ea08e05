// The series of OB-2 as ids, resolved when the configuration is loaded, so that a request looks
// nothing up.
//
//   StandardMetrics metrics(registry);
//   RouteMetrics& route = metrics.Route("chat");                          // at configuration time
//   worker.Increment(route.requests.At(CodeClass::k2xx, http::Reason::kNone));
//   worker.ObserveNanos(route.duration, elapsed_ns);
//
// Asking for a name again gives the same object, which lives as long as the StandardMetrics; so a
// reload continues its series. Thread-safe; ids are written to through each thread's WorkerMetrics.
// Values that are computed at scrape time (breaker state, budgets, table sizes) are callbacks that
// their owners register with the descriptors of descriptors.h.

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/http/reason.h"
#include "proxy/metrics/counter_table.h"
#include "proxy/metrics/labelled_counter.h"
#include "proxy/metrics/registry.h"

namespace outrigger::metrics {

// kNone: the client left before there was a response head.
enum class CodeClass : uint8_t { k1xx, k2xx, k3xx, k4xx, k5xx, kNone, kCount };
enum class StreamOutcome : uint8_t { kComplete, kErrorEvent, kCut, kStall, kClientGone, kCount };
enum class IdempotencyResult : uint8_t {
  kStored,
  kReplayed,
  kJoined,
  kReleased,
  kBypassed,
  kTombstone,
  kUnknown,
  kInFlight,
  kMismatch,
  kNotKept,
  kStoreFull,
  kKeyMissing,
  kKeyInvalid,
  kReplayLimited,
  kIllegalTransition,
  kCount,
};
enum class LimiterDecision : uint8_t { kAllowed, kRejected, kCount };
enum class FilterMode : uint8_t { kEnforce, kShadow, kCount };
enum class BreakerState : uint8_t { kClosed, kHalfOpen, kOpen, kCount };
enum class BreakerCause : uint8_t {
  kFailureRatio,
  kConsecutive,
  kSlowRatio,
  kOpenTimeOver,
  kProbeFailed,
  kProbesSucceeded,
  kManual,
  kCount,
};
enum class BreakerRefusal : uint8_t { kOpen, kThrottled, kCount };
enum class ProbeResult : uint8_t { kSucceeded, kFailed, kCount };
enum class RetryCause : uint8_t {
  kConnectFail,
  kRefusedStream,
  kReusedConnection,
  kReset,
  kProtocol,
  kTimeout,
  k401,
  k408,
  k425,
  k429,
  k500,
  k502,
  k503,
  k504,
  k529,
  kErrorEvent,
  kBreakerOpen,
  kOther,
  kCount,
};
enum class RetryResult : uint8_t {
  kRetried,
  kAttemptsUsed,
  kBudgetEmpty,
  kDeadline,
  kWaitTooLong,
  kForbidden,      // by the route's effects or by x-should-retry
  kNotReplayable,  // the request's body was not kept
  kCount,
};
enum class TimeoutTier : uint8_t {
  kConnect,
  kRequestHeader,
  kRequestBodyIdle,
  kWriteIdle,
  kDownstreamIdle,
  kOverall,
  kPerTry,
  kTtft,
  kInterToken,
  kMaxStream,
  kTunnelIdle,
  kCount,
};
// How a tunnel ended.
enum class TunnelEnd : uint8_t { kComplete, kServiceGone, kClientGone, kIdle, kDrained, kCount };
enum class TunnelDirection : uint8_t { kToService, kToClient, kCount };
// With what a client flooded its HTTP/2 connection.
enum class Http2Flood : uint8_t {
  kResets,  // RST_STREAM of the client's
  kErrors,  // errors that made us reset streams
  kPings,
  kSettings,
  kPriorities,
  kEmptyData,
  kTinyWindows,
  kContinuations,
  kAcks,          // asked for faster than they are taken
  kQueuedFrames,  // other answers that are not taken
  kCount,
};
// The codes of gRPC as they are numbered, and what else there is.
enum class GrpcCode : uint8_t {
  kOk = 0,
  kUnauthenticated = 16,
  kOther,  // a number that gRPC does not define
  kNone,   // cut, or left by its caller, before a status came
  kCount,
};
enum class UpstreamPhase : uint8_t { kConnect, kHead, kTotal, kCount };
enum class ConnectionState : uint8_t { kActive, kIdle, kCount };

// The label values of each list, in the order of its enumerators.
std::span<const std::string_view> CodeClassNames();
std::span<const std::string_view> StreamOutcomeNames();
std::span<const std::string_view> IdempotencyResultNames();
std::span<const std::string_view> LimiterDecisionNames();
std::span<const std::string_view> FilterModeNames();
std::span<const std::string_view> BreakerStateNames();
std::span<const std::string_view> BreakerCauseNames();
std::span<const std::string_view> BreakerRefusalNames();
std::span<const std::string_view> ProbeResultNames();
std::span<const std::string_view> RetryCauseNames();
std::span<const std::string_view> RetryResultNames();
std::span<const std::string_view> TimeoutTierNames();
std::span<const std::string_view> TunnelEndNames();
std::span<const std::string_view> TunnelDirectionNames();
std::span<const std::string_view> Http2FloodNames();
std::span<const std::string_view> GrpcCodeNames();
std::span<const std::string_view> UpstreamPhaseNames();
std::span<const std::string_view> ConnectionStateNames();

// For 100 to 599; kNone for anything else.
CodeClass CodeClassOf(int status);
GrpcCode GrpcCodeOf(std::optional<int> status);

// A CounterTable indexed by enumerators.
template <class Row, class Column = void>
class EnumCounters {
 public:
  template <class... Args>
  explicit EnumCounters(Args&&... args) : table_(std::forward<Args>(args)...) {}

  CounterId At(Row row, Column column) {
    return table_.At(static_cast<size_t>(row), static_cast<size_t>(column));
  }

 private:
  CounterTable table_;
};

template <class Row>
class EnumCounters<Row, void> {
 public:
  template <class... Args>
  explicit EnumCounters(Args&&... args) : table_(std::forward<Args>(args)...) {}

  CounterId At(Row row) { return table_.At(static_cast<size_t>(row)); }

 private:
  CounterTable table_;
};

struct RouteMetrics {
  RouteMetrics(Registry& registry, std::string_view route);

  EnumCounters<CodeClass, http::Reason> requests;
  EnumCounters<StreamOutcome> stream_outcome;
  EnumCounters<GrpcCode> grpc_calls;
  const HistogramId duration;
  const HistogramId ttft;
  const HistogramId inter_token;
  EnumCounters<TunnelEnd> tunnels;
  EnumCounters<TunnelDirection> tunnel_bytes;
  const HistogramId tunnel_duration;
};

struct UpstreamMetrics {
  UpstreamMetrics(Registry& registry, std::string_view upstream);

  std::array<HistogramId, static_cast<size_t>(UpstreamPhase::kCount)> duration;
  std::array<GaugeId, static_cast<size_t>(ConnectionState::kCount)> connections;

  HistogramId Duration(UpstreamPhase phase) const { return duration[static_cast<size_t>(phase)]; }
  GaugeId Connections(ConnectionState state) const {
    return connections[static_cast<size_t>(state)];
  }
};

struct RuleMetrics {
  RuleMetrics(Registry& registry, std::string_view rule);

  EnumCounters<LimiterDecision, FilterMode> decisions;
};

struct BreakerMetrics {
  BreakerMetrics(Registry& registry, std::string_view breaker);

  EnumCounters<BreakerState, BreakerCause> transitions;
  EnumCounters<BreakerRefusal, FilterMode> refusals;
  EnumCounters<ProbeResult> probes;
};

class StandardMetrics {
 public:
  // `max_label_values`: how many values of a label that come from requests are told apart (OB-6).
  explicit StandardMetrics(Registry& registry, size_t max_label_values = 1000);

  RouteMetrics& Route(std::string_view name);
  UpstreamMetrics& Upstream(std::string_view name);
  RuleMetrics& Rule(std::string_view name);
  BreakerMetrics& Breaker(std::string_view id);

  const GaugeId in_flight;
  const GaugeId open_tunnels;
  const GaugeId downstream_connections;
  const CounterId accept_errors;
  EnumCounters<Http2Flood> http2_floods;
  EnumCounters<IdempotencyResult> idempotency;
  EnumCounters<RetryCause, RetryResult> retries;
  const HistogramId retry_backoff;
  EnumCounters<TimeoutTier> timeouts;
  // What a LabelledCounter of each worker is made with.
  LabelValueTable tenants;

 private:
  template <class Metrics>
  using ByName = std::map<std::string, std::unique_ptr<Metrics>, std::less<>>;

  template <class Metrics>
  Metrics& Find(ByName<Metrics>& metrics, std::string_view name);

  Registry& registry_;
  std::mutex mutex_;  // guards the maps
  ByName<RouteMetrics> routes_;
  ByName<UpstreamMetrics> upstreams_;
  ByName<RuleMetrics> rules_;
  ByName<BreakerMetrics> breakers_;
};

}  // namespace outrigger::metrics
