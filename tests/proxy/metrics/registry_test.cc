#include "proxy/metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "proxy/base/random.h"
#include "tests/proxy/metrics/scrape.h"

namespace outrigger::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kBounds[] = {0.1, 1, 10};
constexpr Descriptor kHits = {"outrigger_hits_total", Type::kCounter, "route,code", "Hits."};
constexpr Descriptor kPlain = {"outrigger_plain_total", Type::kCounter, "", "Plain."};
constexpr Descriptor kLevel = {"outrigger_level", Type::kGauge, "", "Level."};
constexpr Descriptor kTime = {"outrigger_time_seconds", Type::kHistogram, "", "Time.", kBounds};
constexpr Descriptor kRareTime = {"outrigger_rare_seconds", Type::kHistogram, "", "Rare.", kBounds,
                                  Shown::kOnceUsed};
constexpr Descriptor kState = {"outrigger_state", Type::kGauge, "breaker", "State."};

TEST(Registry, SumsACounterOverItsWorkers) {
  Registry registry;
  WorkerMetrics& first = registry.AddWorker();
  WorkerMetrics& second = registry.AddWorker();
  const CounterId hits = registry.AddCounter(kHits, {"chat", "2xx"});
  first.Increment(hits);
  second.Increment(hits, 41);
  EXPECT_EQ(CounterValue(registry, "outrigger_hits_total", {"chat", "2xx"}), 42);
}

TEST(Registry, GivesTheSameIdForTheSameSeries) {
  Registry registry;
  const CounterId id = registry.AddCounter(kHits, {"chat", "2xx"});
  EXPECT_EQ(registry.AddCounter(kHits, {"chat", "2xx"}).cell, id.cell);
  EXPECT_NE(registry.AddCounter(kHits, {"chat", "5xx"}).cell, id.cell);
}

TEST(Registry, TellsApartLabelValuesWhoseConcatenationIsEqual) {
  Registry registry;
  std::set<uint32_t> cells;
  const std::vector<LabelValues> all = {{"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"1:a", ""},
                                        {"", "1:a"}, {"a1:", ""}, {"a", "1:"}};
  for (const LabelValues& values : all) cells.insert(registry.AddCounter(kHits, values).cell);
  EXPECT_EQ(cells.size(), all.size());
}

TEST(Registry, ShowsACounterAsZeroBeforeItIsUsed) {
  Registry registry;
  registry.AddWorker();
  registry.AddCounter(kPlain);
  EXPECT_EQ(CounterValue(registry, "outrigger_plain_total"), 0);
}

TEST(Registry, LetsAGaugeRiseOnOneWorkerAndFallOnAnother) {
  Registry registry;
  WorkerMetrics& first = registry.AddWorker();
  WorkerMetrics& second = registry.AddWorker();
  const GaugeId level = registry.AddGauge(kLevel);
  first.Add(level, 3);
  second.Add(level, -2);
  EXPECT_EQ(GaugeValue(registry, "outrigger_level"), 1);
  second.Add(level, -2);
  EXPECT_EQ(GaugeValue(registry, "outrigger_level"), -1);
  second.Set(level, 10);
  EXPECT_EQ(GaugeValue(registry, "outrigger_level"), 13);
}

TEST(Registry, CountsAnObservationInTheBucketWhoseBoundItDoesNotExceed) {
  Registry registry;
  WorkerMetrics& worker = registry.AddWorker();
  const HistogramId time = registry.AddHistogram(kTime);
  for (double value : {0.0, 0.1, 0.100001, 1.0, 9.0, 10.0, 11.0}) worker.Observe(time, value);
  worker.ObserveNanos(time, 2'000'000'000);
  worker.Observe(time, std::numeric_limits<double>::infinity());
  worker.Observe(time, std::nan(""));
  const auto metric = FindSeries(registry.Collect(), "outrigger_time_seconds");
  ASSERT_TRUE(metric.has_value());
  std::vector<uint64_t> cumulative;
  for (const auto& bucket : metric->histogram.bucket) cumulative.push_back(bucket.cumulative_count);
  EXPECT_EQ(cumulative, (std::vector<uint64_t>{2, 4, 7, 9}));
  EXPECT_EQ(metric->histogram.sample_count, 9u);
  EXPECT_TRUE(std::isinf(metric->histogram.bucket.back().upper_bound));
}

TEST(Registry, AgreesWithASlowHistogramOnRandomValues) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Registry registry;
    WorkerMetrics* workers[] = {&registry.AddWorker(), &registry.AddWorker()};
    const HistogramId time = registry.AddHistogram(kTime);
    std::vector<double> values;
    for (int i = 0; i < 500; ++i) {
      values.push_back(std::pow(10, random.Uniform(-3, 3)));
      workers[random.Below(2)]->Observe(time, values.back());
    }
    const auto metric = FindSeries(registry.Collect(), "outrigger_time_seconds");
    ASSERT_TRUE(metric.has_value());
    double sum = 0;
    for (double value : values) sum += value;
    EXPECT_NEAR(metric->histogram.sample_sum, sum, sum * 1e-12);
    for (const auto& bucket : metric->histogram.bucket) {
      const auto expected = std::ranges::count_if(
          values, [&bucket](double value) { return value <= bucket.upper_bound; });
      EXPECT_EQ(bucket.cumulative_count, static_cast<uint64_t>(expected));
    }
  }
}

TEST(Registry, HidesAHistogramThatIsShownOnceUsed) {
  Registry registry;
  WorkerMetrics& worker = registry.AddWorker();
  const HistogramId rare = registry.AddHistogram(kRareTime);
  EXPECT_THAT(registry.Serialize(), Not(HasSubstr("outrigger_rare_seconds")));
  worker.Observe(rare, 0.5);
  EXPECT_THAT(registry.Serialize(), HasSubstr("outrigger_rare_seconds_bucket{le=\"1\"} 1\n"));
}

TEST(Registry, KeepsSeriesApartOverManyChunks) {
  Registry registry;
  WorkerMetrics& worker = registry.AddWorker();
  constexpr Descriptor kMany = {"outrigger_many_total", Type::kCounter, "n", "Many."};
  constexpr Descriptor kManyTimes = {"outrigger_many_seconds", Type::kHistogram, "n", "Many.",
                                     kBounds};
  std::vector<CounterId> counters;
  std::vector<HistogramId> times;
  constexpr int kSeries = 300;
  for (int i = 0; i < kSeries; ++i) {
    const std::string name = std::to_string(i);
    counters.push_back(registry.AddCounter(kMany, {name}));
    times.push_back(registry.AddHistogram(kManyTimes, {name}));
  }
  for (int i = 0; i < kSeries; ++i) {
    worker.Increment(counters[i], static_cast<uint64_t>(i));
    for (int n = 0; n < i % 5; ++n) worker.Observe(times[i], 0.5);
  }
  const auto families = registry.Collect();
  for (int i = 0; i < kSeries; ++i) {
    const std::string name = std::to_string(i);
    ASSERT_EQ(FindSeries(families, "outrigger_many_total", {name})->counter.value, i);
    const auto histogram = FindSeries(families, "outrigger_many_seconds", {name})->histogram;
    ASSERT_EQ(histogram.sample_count, static_cast<uint64_t>(i % 5));
    ASSERT_DOUBLE_EQ(histogram.sample_sum, 0.5 * (i % 5));
  }
}

TEST(Registry, CountsSeriesThatNoLongerFitAndShowsNothingForThem) {
  Registry registry;
  WorkerMetrics& worker = registry.AddWorker();
  std::vector<double> bounds(500);
  for (size_t i = 0; i < bounds.size(); ++i) bounds[i] = static_cast<double>(i + 1);
  const Descriptor huge = {"outrigger_huge_seconds", Type::kHistogram, "n", "Huge.", bounds};
  int fitted = 0;
  HistogramId id;
  do {
    id = registry.AddHistogram(huge, {std::to_string(fitted)});
    ++fitted;
    ASSERT_LT(fitted, 10000);
  } while (id.bound_count != 0);
  worker.Observe(id, 1);
  worker.Increment(CounterId{});
  EXPECT_EQ(CounterValue(registry, "outrigger_series_refused_total"), 1);
  EXPECT_EQ(FindSeries(registry.Collect(), "outrigger_huge_seconds", {"0"})->histogram.sample_count,
            0u);
}

TEST(Registry, CallsBackAtEachScrapeUntilTheHandleIsGone) {
  Registry registry;
  double value = 1;
  CallbackHandle handle = registry.AddCallback(kState, [&value] {
    return std::vector<Sample>{{{"app"}, value}, {{"other"}, 0}};
  });
  EXPECT_EQ(GaugeValue(registry, "outrigger_state", {"app"}), 1);
  value = 2;
  EXPECT_EQ(GaugeValue(registry, "outrigger_state", {"app"}), 2);
  handle.Reset();
  EXPECT_EQ(GaugeValue(registry, "outrigger_state", {"app"}), std::nullopt);
  EXPECT_THAT(registry.Serialize(), Not(HasSubstr("outrigger_state")));
}

TEST(Registry, NeverShowsTheSameLabelsOfTwoCallbacksTwice) {
  Registry registry;
  const auto one = [] { return std::vector<Sample>{{{"app"}, 1}}; };
  CallbackHandle first = registry.AddCallback(kState, one);
  CallbackHandle second = registry.AddCallback(kState, one);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("outrigger_state{breaker=\"app\"} 2\n"));
  EXPECT_EQ(text.find("breaker=\"app\""), text.rfind("breaker=\"app\""));
}

TEST(Registry, WritesHelpTypeAndEscapedLabels) {
  Registry registry;
  registry.AddWorker().Increment(registry.AddCounter(kHits, {"a\"b\\c\nd", "2xx"}), 3);
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("# HELP outrigger_hits_total Hits.\n"
                              "# TYPE outrigger_hits_total counter\n"
                              "outrigger_hits_total{route=\"a\\\"b\\\\c\\nd\",code=\"2xx\"} 3\n"));
}

TEST(Registry, WritesBoundsAsPeopleWriteThem) {
  Registry registry;
  registry.AddWorker().Observe(registry.AddHistogram(kTime), 0.25);
  EXPECT_THAT(registry.Serialize(), HasSubstr("outrigger_time_seconds_bucket{le=\"0.1\"} 0\n"
                                              "outrigger_time_seconds_bucket{le=\"1\"} 1\n"
                                              "outrigger_time_seconds_bucket{le=\"10\"} 1\n"
                                              "outrigger_time_seconds_bucket{le=\"+Inf\"} 1\n"));
}

TEST(RegistryDeathTest, RefusesWrongDescriptors) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Registry registry;
  EXPECT_DEATH(registry.AddCounter({"requests_total", Type::kCounter, "", "No prefix."}), "prefix");
  EXPECT_DEATH(registry.AddCounter({"outrigger_requests", Type::kCounter, "", "No suffix."}),
               "_total");
  EXPECT_DEATH(registry.AddGauge({"outrigger_level_total", Type::kGauge, "", "Suffix."}), "_total");
  EXPECT_DEATH(registry.AddGauge({"outrigger_level", Type::kGauge, "", ""}), "help");
  EXPECT_DEATH(registry.AddGauge({"outrigger_level", Type::kGauge, "a-b", "Label."}), "label name");
  EXPECT_DEATH(registry.AddCounter(kHits, {"chat"}), "number of label values");
  EXPECT_DEATH(registry.AddGauge(kPlain), "another type");
  registry.AddGauge(kLevel);
  EXPECT_DEATH(registry.AddGauge({"outrigger_level", Type::kGauge, "", "Else."}), "two ways");
}

}  // namespace
}  // namespace outrigger::metrics
