#include "proxy/metrics/standard_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <sstream>

#include "proxy/metrics/descriptors.h"
#include "proxy/metrics/process_metrics.h"
#include "tests/proxy/metrics/scrape.h"

namespace outrigger::metrics {
namespace {

using ::testing::HasSubstr;

size_t SeriesCount(const std::string& text) {
  size_t count = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != '#') ++count;
  }
  return count;
}

TEST(StandardMetrics, CountsRequestsByRouteClassAndReason) {
  Registry registry;
  StandardMetrics metrics(registry);
  WorkerMetrics& worker = registry.AddWorker();
  RouteMetrics& chat = metrics.Route("chat");
  worker.Increment(chat.requests.At(CodeClassOf(200), http::Reason::kNone));
  worker.Increment(chat.requests.At(CodeClassOf(503), http::Reason::kBreakerOpen), 2);
  EXPECT_EQ(CounterValue(registry, "outrigger_requests_total", {"chat", "2xx", ""}), 1);
  EXPECT_EQ(CounterValue(registry, "outrigger_requests_total", {"chat", "5xx", "breaker_open"}), 2);
}

TEST(StandardMetrics, ContinuesTheSeriesOfANameThatIsAskedForAgain) {
  Registry registry;
  StandardMetrics metrics(registry);
  EXPECT_EQ(&metrics.Route("chat"), &metrics.Route("chat"));
  EXPECT_NE(&metrics.Route("chat"), &metrics.Route("embed"));
  EXPECT_EQ(&metrics.Upstream("app"), &metrics.Upstream("app"));
  EXPECT_EQ(&metrics.Rule("tokens"), &metrics.Rule("tokens"));
  EXPECT_EQ(&metrics.Breaker("app/chat"), &metrics.Breaker("app/chat"));
}

TEST(StandardMetrics, ClassifiesEveryStatus) {
  EXPECT_EQ(CodeClassOf(100), CodeClass::k1xx);
  EXPECT_EQ(CodeClassOf(299), CodeClass::k2xx);
  EXPECT_EQ(CodeClassOf(304), CodeClass::k3xx);
  EXPECT_EQ(CodeClassOf(404), CodeClass::k4xx);
  EXPECT_EQ(CodeClassOf(599), CodeClass::k5xx);
  EXPECT_EQ(CodeClassOf(0), CodeClass::kNone);
  EXPECT_EQ(CodeClassOf(600), CodeClass::kNone);
}

TEST(StandardMetrics, NamesEveryEnumeratorDifferently) {
  for (const auto& names :
       {CodeClassNames(), StreamOutcomeNames(), IdempotencyResultNames(), LimiterDecisionNames(),
        FilterModeNames(), BreakerStateNames(), BreakerCauseNames(), RetryCauseNames(),
        RetryResultNames(), TimeoutTierNames(), UpstreamPhaseNames(), ConnectionStateNames()}) {
    EXPECT_EQ(std::set<std::string_view>(names.begin(), names.end()).size(), names.size());
  }
  EXPECT_EQ(RetryCauseNames()[static_cast<size_t>(RetryCause::k529)], "529");
  EXPECT_EQ(TimeoutTierNames()[static_cast<size_t>(TimeoutTier::kMaxStream)], "max_stream");
  EXPECT_EQ(IdempotencyResultNames()[static_cast<size_t>(IdempotencyResult::kStoreFull)],
            "store_full");
}

TEST(StandardMetrics, FilterCountersReachTheScrape) {
  Registry registry;
  StandardMetrics metrics(registry);
  WorkerMetrics& worker = registry.AddWorker();
  worker.Increment(metrics.idempotency.At(IdempotencyResult::kReplayed));
  worker.Increment(metrics.retries.At(RetryCause::k503, RetryResult::kRetried));
  worker.Increment(metrics.timeouts.At(TimeoutTier::kTtft));
  worker.Increment(
      metrics.Rule("tokens").decisions.At(LimiterDecision::kRejected, FilterMode::kShadow));
  worker.Increment(
      metrics.Breaker("app").transitions.At(BreakerState::kOpen, BreakerCause::kManual));
  worker.Add(metrics.Upstream("app").Connections(ConnectionState::kIdle), 4);
  EXPECT_EQ(CounterValue(registry, "outrigger_idempotency_total", {"replayed"}), 1);
  EXPECT_EQ(CounterValue(registry, "outrigger_retries_total", {"503", "retried"}), 1);
  EXPECT_EQ(CounterValue(registry, "outrigger_timeouts_total", {"ttft"}), 1);
  EXPECT_EQ(
      CounterValue(registry, "outrigger_limiter_decisions_total", {"tokens", "rejected", "shadow"}),
      1);
  EXPECT_EQ(
      CounterValue(registry, "outrigger_breaker_transitions_total", {"app", "open", "manual"}), 1);
  EXPECT_EQ(GaugeValue(registry, "outrigger_upstream_connections", {"app", "idle"}), 4);
}

// OB-1 with every histogram of one busy route in use.
TEST(StandardMetrics, StaysUnder250SeriesForOneRouteWithItsHistograms) {
  Registry registry;
  StandardMetrics metrics(registry);
  const std::vector<CallbackHandle> process = AddProcessMetrics(registry);
  WorkerMetrics& worker = registry.AddWorker();
  RouteMetrics& route = metrics.Route("chat");
  for (HistogramId id : {route.duration, route.ttft, route.inter_token, metrics.retry_backoff}) {
    worker.Observe(id, 0.1);
  }
  for (HistogramId id : metrics.Upstream("app").duration) worker.Observe(id, 0.1);
  EXPECT_LE(SeriesCount(registry.Serialize()), 250u);
}

TEST(Descriptors, AreAllAcceptedByTheRegistry) {
  Registry registry;
  std::vector<CallbackHandle> callbacks;
  std::set<std::string_view> names;
  for (const Descriptor* descriptor : AllDescriptors()) {
    EXPECT_TRUE(names.insert(descriptor->name).second) << descriptor->name;
    const auto label_count =
        descriptor->labels.empty() ? 0 : 1 + std::ranges::count(descriptor->labels, ',');
    const LabelValues values(static_cast<size_t>(label_count), "x");
    if (descriptor->type == Type::kHistogram) {
      registry.AddHistogram(*descriptor, values);
    } else if (descriptor->type == Type::kGauge) {
      registry.AddGauge(*descriptor, values);
    } else if (descriptor != &families::kSeriesRefused) {
      registry.AddCounter(*descriptor, values);
    }
  }
  EXPECT_GT(names.size(), 30u);
}

TEST(ProcessMetrics, ReportThisProcess) {
  Registry registry;
  const std::vector<CallbackHandle> process = AddProcessMetrics(registry);
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const auto started = GaugeValue(registry, "outrigger_process_start_time_seconds");
  ASSERT_TRUE(started.has_value());
  EXPECT_LE(*started, now + 1);
  EXPECT_GT(*started, now - 3600);
  EXPECT_GT(GaugeValue(registry, "outrigger_process_resident_memory_bytes"), 1e6);
  EXPECT_GT(CounterValue(registry, "outrigger_process_cpu_seconds_total"), 0);
  EXPECT_GE(GaugeValue(registry, "outrigger_process_open_fds"), 3);
  EXPECT_GE(GaugeValue(registry, "outrigger_process_max_fds"), 64);
}

}  // namespace
}  // namespace outrigger::metrics
