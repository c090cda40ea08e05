// Run under ThreadSanitizer too: writers, newcomers and scrapers at once.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "proxy/metrics/counter_table.h"
#include "proxy/metrics/label_interner.h"
#include "tests/proxy/metrics/scrape.h"

namespace outrigger::metrics {
namespace {

constexpr double kBounds[] = {1, 2, 3};
constexpr Descriptor kPlain = {"outrigger_plain_total", Type::kCounter, "", "Plain."};
constexpr Descriptor kByN = {"outrigger_by_n_total", Type::kCounter, "n", "By n."};
constexpr Descriptor kTable = {"outrigger_table_total", Type::kCounter, "row", "Table."};
constexpr Descriptor kLevel = {"outrigger_level", Type::kGauge, "", "Level."};
constexpr Descriptor kTime = {"outrigger_time_seconds", Type::kHistogram, "", "Time.", kBounds};
constexpr Descriptor kState = {"outrigger_state", Type::kGauge, "", "State."};

TEST(Metrics, LoseNothingWhileBeingScrapedAndExtended) {
  constexpr int kWriters = 3;
  constexpr int kRounds = 20000;
  static constexpr std::string_view kRows[] = {"a", "b", "c", "d"};
  Registry registry;
  CounterTable table(registry, kTable, {}, kRows);
  const CounterId plain = registry.AddCounter(kPlain);
  const GaugeId level = registry.AddGauge(kLevel);
  const HistogramId time = registry.AddHistogram(kTime);
  std::atomic<int> running{kWriters};

  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&] {
      WorkerMetrics& worker = registry.AddWorker();
      for (int i = 0; i < kRounds; ++i) {
        worker.Increment(plain);
        worker.Increment(table.At(static_cast<size_t>(i) % std::size(kRows)));
        worker.Observe(time, i % 4);
        worker.Add(level, i % 2 == 0 ? 1 : -1);
        if (i % 50 == 0) worker.Increment(registry.AddCounter(kByN, {std::to_string(i)}));
      }
      running.fetch_sub(1);
    });
  }
  threads.emplace_back([&] {
    while (running.load() > 0) {
      CallbackHandle handle = registry.AddCallback(kState, [] {
        return std::vector<Sample>{{{}, 1}};
      });
    }
  });

  double previous = 0;
  while (running.load() > 0) {
    const auto families = registry.Collect();
    const double now = FindSeries(families, "outrigger_plain_total")->counter.value;
    EXPECT_GE(now, previous);
    previous = now;
    const auto histogram = FindSeries(families, "outrigger_time_seconds")->histogram;
    EXPECT_EQ(histogram.bucket.back().cumulative_count, histogram.sample_count);
  }
  for (std::thread& thread : threads) thread.join();

  const auto families = registry.Collect();
  EXPECT_EQ(FindSeries(families, "outrigger_plain_total")->counter.value, kWriters * kRounds);
  EXPECT_EQ(FindSeries(families, "outrigger_level")->gauge.value, 0);
  EXPECT_EQ(FindSeries(families, "outrigger_time_seconds")->histogram.sample_count,
            static_cast<uint64_t>(kWriters * kRounds));
  double rows = 0;
  for (std::string_view row : kRows) {
    rows += FindSeries(families, "outrigger_table_total", {std::string(row)})->counter.value;
  }
  EXPECT_EQ(rows, kWriters * kRounds);
  double by_n = 0;
  for (int i = 0; i < kRounds; i += 50) {
    by_n += FindSeries(families, "outrigger_by_n_total", {std::to_string(i)})->counter.value;
  }
  EXPECT_EQ(by_n, kWriters * (kRounds / 50));
}

TEST(LabelCache, AllWorkersFoldTheSameValues) {
  constexpr size_t kMax = 100;
  constexpr int kWorkers = 4;
  LabelInterner interner(kMax);
  std::vector<std::vector<LabelId>> seen(kWorkers);
  std::vector<std::thread> threads;
  for (int worker = 0; worker < kWorkers; ++worker) {
    threads.emplace_back([&, worker] {
      LabelCache cache(interner);
      for (int i = 0; i < 300; ++i) {
        // Each worker meets the values in another order.
        cache.Intern("tenant-" + std::to_string((i + worker * 75) % 300));
      }
      for (int i = 0; i < 300; ++i) {
        seen[static_cast<size_t>(worker)].push_back(cache.Intern("tenant-" + std::to_string(i)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(interner.size(), kMax);
  for (const auto& ids : seen) EXPECT_EQ(ids, seen[0]);
  EXPECT_EQ(std::ranges::count(seen[0], LabelId::kOther), static_cast<long>(300 - kMax));
}

}  // namespace
}  // namespace outrigger::metrics
