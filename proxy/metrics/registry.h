// All metric families of the process, merged from the workers' cells when somebody scrapes (OB-1).
//
//   Registry registry;
//   WorkerMetrics& worker = registry.AddWorker();                          // one for each thread
//   CounterId hits = registry.AddCounter(kIdempotency, {"replayed"});      // at configuration time
//   worker.Increment(hits);                                                // on a request
//   CallbackHandle state = registry.AddCallback(kBreakerState, [&] { return breakers.Samples(); });
//   std::string text = registry.Serialize();                               // on GET /metrics
//
// Series are append-only for the life of the process and adding one again gives the same id, so
// that a reload continues its counters. Label values are copied. A worker that adds a series takes
// a mutex for a look-up; no scrape holds it while it reads cells, calls back or formats.
//
// Thread-safe. Wrong use (a name without the prefix, another number of label values, one name with
// two meanings) is a broken invariant and ends the process with a message. A registry that is full
// gives ids that are shown nowhere, and counts them.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proxy/metrics/descriptor.h"
#include "proxy/metrics/worker_metrics.h"

namespace outrigger::metrics {

using LabelValues = std::vector<std::string_view>;

// One line of a family whose values are computed at scrape time.
struct Sample {
  std::vector<std::string> label_values;
  double value = 0;
};
using SampleFunction = std::function<std::vector<Sample>()>;

// Ends the callback when destroyed: once the destructor has returned, it is not running and will
// never run again. Must not be destroyed from within the callback.
class CallbackHandle {
 public:
  CallbackHandle() = default;
  ~CallbackHandle() { Reset(); }
  CallbackHandle(CallbackHandle&& other) noexcept = default;
  CallbackHandle& operator=(CallbackHandle&& other) noexcept;

  void Reset();

 private:
  friend class Registry;
  struct Entry;

  explicit CallbackHandle(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}

  std::shared_ptr<Entry> entry_;
};

class Registry : public prometheus::Collectable {
 public:
  Registry();
  ~Registry() override;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The registry owns what it returns; one thread writes to it.
  WorkerMetrics& AddWorker();

  // `values` in the order of the descriptor's labels.
  CounterId AddCounter(const Descriptor& descriptor, const LabelValues& values = {});
  GaugeId AddGauge(const Descriptor& descriptor, const LabelValues& values = {});
  HistogramId AddHistogram(const Descriptor& descriptor, const LabelValues& values = {});

  // `samples` runs on the scraping thread and must not wait for a worker. Several callbacks may
  // serve one family; samples with the same labels are added up.
  [[nodiscard]] CallbackHandle AddCallback(const Descriptor& descriptor, SampleFunction samples);

  std::vector<prometheus::MetricFamily> Collect() const override;
  // Collect() in Prometheus text format 0.0.4.
  std::string Serialize() const;

 private:
  struct Series;
  struct Family;

  Family& FindOrAddFamily(const Descriptor& descriptor, Type type);
  // Null when the registry is full.
  const Series* FindOrAddSeries(Family& family, const LabelValues& values);
  uint32_t AllocateCells(uint32_t count);
  static void AppendSeries(const Family& family, const Series& series,
                           const std::vector<const WorkerMetrics*>& workers,
                           prometheus::MetricFamily& out);
  static void AppendCallbacks(const Family& family,
                              const std::vector<std::shared_ptr<CallbackHandle::Entry>>& callbacks,
                              prometheus::MetricFamily& out);

  mutable std::mutex mutex_;  // guards everything below, not the cells
  std::vector<std::unique_ptr<WorkerMetrics>> workers_;
  std::vector<std::unique_ptr<Family>> families_;
  absl::flat_hash_map<std::string, Family*> family_by_name_;
  uint32_t next_cell_ = WorkerMetrics::kUnresolvedCells;
  uint64_t refused_series_ = 0;
};

}  // namespace outrigger::metrics
