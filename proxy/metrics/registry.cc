#include "proxy/metrics/registry.h"

#include <fmt/format.h>
#include <prometheus/check_names.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <sstream>
#include <utility>

#include "proxy/metrics/descriptors.h"

namespace outrigger::metrics {
namespace {

// Descriptors are written by programmers: a wrong one cannot be handled, only reported.
void Require(bool condition, std::string_view name, std::string_view what) {
  if (condition) return;
  fmt::print(stderr, "metric {}: {}\n", name, what);
  std::abort();
}

std::vector<std::string> SplitLabels(std::string_view labels) {
  std::vector<std::string> names;
  while (!labels.empty()) {
    const size_t comma = std::min(labels.find(','), labels.size());
    names.emplace_back(labels.substr(0, comma));
    labels.remove_prefix(std::min(comma + 1, labels.size()));
  }
  return names;
}

// Length-prefixed, so that no two lists of values have the same key.
std::string SeriesKey(const LabelValues& values) {
  std::string key;
  for (std::string_view value : values) {
    fmt::format_to(std::back_inserter(key), "{}:{}", value.size(), value);
  }
  return key;
}

prometheus::MetricType ToPrometheus(Type type) {
  switch (type) {
    case Type::kCounter:
      return prometheus::MetricType::Counter;
    case Type::kGauge:
      return prometheus::MetricType::Gauge;
    case Type::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  std::abort();
}

void SetValue(Type type, double value, prometheus::ClientMetric& metric) {
  if (type == Type::kCounter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
}

}  // namespace

struct CallbackHandle::Entry {
  std::mutex mutex;  // held while `samples` runs
  SampleFunction samples;
};

CallbackHandle& CallbackHandle::operator=(CallbackHandle&& other) noexcept {
  if (this != &other) {
    Reset();
    entry_ = std::move(other.entry_);
  }
  return *this;
}

void CallbackHandle::Reset() {
  if (entry_ == nullptr) return;
  SampleFunction ended;
  {
    std::lock_guard lock(entry_->mutex);
    ended = std::exchange(entry_->samples, nullptr);
  }
  entry_ = nullptr;
}

struct Registry::Series {
  std::vector<prometheus::ClientMetric::Label> labels;
  uint32_t cell = 0;
};

struct Registry::Family {
  std::string name;
  std::string help;
  Type type = Type::kCounter;
  Shown shown = Shown::kAlways;
  std::vector<std::string> label_names;
  std::vector<double> bounds;
  // Appended to under the registry's mutex; the elements never change.
  std::vector<std::unique_ptr<const Series>> series;
  absl::flat_hash_map<std::string, const Series*> series_by_values;
  std::vector<std::shared_ptr<CallbackHandle::Entry>> callbacks;
};

Registry::Registry() = default;
Registry::~Registry() = default;

WorkerMetrics& Registry::AddWorker() {
  auto worker = std::make_unique<WorkerMetrics>();
  std::lock_guard lock(mutex_);
  workers_.push_back(std::move(worker));
  return *workers_.back();
}

Registry::Family& Registry::FindOrAddFamily(const Descriptor& descriptor, Type type) {
  const std::string name(descriptor.name);
  Require(descriptor.type == type, name, "used as another type than described");
  Family*& family = family_by_name_[name];
  if (family != nullptr) {
    const bool is_same = family->type == type && family->help == descriptor.help &&
                         family->label_names == SplitLabels(descriptor.labels) &&
                         std::ranges::equal(family->bounds, descriptor.bounds);
    Require(is_same, name, "described in two ways");
    return *family;
  }
  Require(name.starts_with("outrigger_") && prometheus::CheckMetricName(name), name,
          "not a valid name with the prefix outrigger_");
  Require(name.ends_with("_total") == (type == Type::kCounter), name,
          "counters and nothing else end in _total");
  Require(!descriptor.help.empty(), name, "has no help text");
  Require((type == Type::kHistogram) == !descriptor.bounds.empty(), name,
          "histograms and nothing else have bounds");
  Require(std::ranges::is_sorted(descriptor.bounds, std::ranges::less_equal{}), name,
          "bounds do not ascend");
  Require(descriptor.bounds.size() + 2 <= WorkerMetrics::kCellsPerChunk, name, "too many bounds");
  auto added = std::make_unique<Family>();
  added->name = name;
  added->help = descriptor.help;
  added->type = type;
  added->shown = descriptor.shown;
  added->label_names = SplitLabels(descriptor.labels);
  added->bounds.assign(descriptor.bounds.begin(), descriptor.bounds.end());
  for (const std::string& label : added->label_names) {
    Require(prometheus::CheckLabelName(label), name, "has an invalid label name");
  }
  family = added.get();
  families_.push_back(std::move(added));
  return *family;
}

// The cells of one series are neighbours in one chunk. 0 when the registry is full.
uint32_t Registry::AllocateCells(uint32_t count) {
  constexpr uint32_t kChunk = WorkerMetrics::kCellsPerChunk;
  uint32_t first = next_cell_;
  if (first / kChunk != (first + count - 1) / kChunk) first = (first / kChunk + 1) * kChunk;
  if (first + count > WorkerMetrics::kMaxCells) return 0;
  next_cell_ = first + count;
  return first;
}

const Registry::Series* Registry::FindOrAddSeries(Family& family, const LabelValues& values) {
  Require(values.size() == family.label_names.size(), family.name, "wrong number of label values");
  std::string key = SeriesKey(values);
  if (auto found = family.series_by_values.find(key); found != family.series_by_values.end()) {
    return found->second;
  }
  const bool is_histogram = family.type == Type::kHistogram;
  const uint32_t cells = is_histogram ? static_cast<uint32_t>(family.bounds.size()) + 2 : 1;
  const uint32_t first = AllocateCells(cells);
  if (first == 0) {
    ++refused_series_;
    return nullptr;
  }
  auto series = std::make_unique<Series>();
  series->cell = first;
  for (size_t i = 0; i < values.size(); ++i) {
    series->labels.push_back({family.label_names[i], std::string(values[i])});
  }
  const Series* added = series.get();
  family.series.push_back(std::move(series));
  family.series_by_values.emplace(std::move(key), added);
  return added;
}

CounterId Registry::AddCounter(const Descriptor& descriptor, const LabelValues& values) {
  std::lock_guard lock(mutex_);
  const Series* series = FindOrAddSeries(FindOrAddFamily(descriptor, Type::kCounter), values);
  return series == nullptr ? CounterId{} : CounterId{series->cell};
}

GaugeId Registry::AddGauge(const Descriptor& descriptor, const LabelValues& values) {
  std::lock_guard lock(mutex_);
  const Series* series = FindOrAddSeries(FindOrAddFamily(descriptor, Type::kGauge), values);
  return series == nullptr ? GaugeId{} : GaugeId{series->cell};
}

HistogramId Registry::AddHistogram(const Descriptor& descriptor, const LabelValues& values) {
  std::lock_guard lock(mutex_);
  Family& family = FindOrAddFamily(descriptor, Type::kHistogram);
  const Series* series = FindOrAddSeries(family, values);
  if (series == nullptr) return {};
  return {series->cell, static_cast<uint32_t>(family.bounds.size()), family.bounds.data()};
}

CallbackHandle Registry::AddCallback(const Descriptor& descriptor, SampleFunction samples) {
  auto entry = std::make_shared<CallbackHandle::Entry>();
  entry->samples = std::move(samples);
  std::lock_guard lock(mutex_);
  Require(descriptor.type != Type::kHistogram, descriptor.name, "histograms have no callbacks");
  Family& family = FindOrAddFamily(descriptor, descriptor.type);
  // Entries whose handle is gone are only ours.
  std::erase_if(family.callbacks, [](const auto& old) { return old.use_count() == 1; });
  family.callbacks.push_back(entry);
  return CallbackHandle(std::move(entry));
}

void Registry::AppendSeries(const Family& family, const Series& series,
                            const std::vector<const WorkerMetrics*>& workers,
                            prometheus::MetricFamily& out) {
  const auto sum_cells = [&workers](uint32_t cell) {
    uint64_t sum = 0;
    for (const WorkerMetrics* worker : workers) sum += worker->Read(cell);
    return sum;
  };
  prometheus::ClientMetric metric;
  bool is_used = false;
  if (family.type == Type::kHistogram) {
    const auto bound_count = static_cast<uint32_t>(family.bounds.size());
    auto& histogram = metric.histogram;
    histogram.bucket.reserve(bound_count + 1);
    // The count is the sum of the buckets read here, so that one scrape agrees with itself.
    uint64_t cumulative = 0;
    for (uint32_t i = 0; i <= bound_count; ++i) {
      cumulative += sum_cells(series.cell + i);
      const double bound =
          i < bound_count ? family.bounds[i] : std::numeric_limits<double>::infinity();
      histogram.bucket.push_back({cumulative, bound});
    }
    histogram.sample_count = cumulative;
    for (const WorkerMetrics* worker : workers) {
      histogram.sample_sum += std::bit_cast<double>(worker->Read(series.cell + bound_count + 1));
    }
    is_used = cumulative > 0;
  } else {
    const uint64_t sum = sum_cells(series.cell);
    is_used = sum != 0;
    const bool is_signed = family.type == Type::kGauge;
    SetValue(family.type,
             is_signed ? static_cast<double>(static_cast<int64_t>(sum)) : static_cast<double>(sum),
             metric);
  }
  if (!is_used && family.shown == Shown::kOnceUsed) return;
  metric.label = series.labels;
  out.metric.push_back(std::move(metric));
}

void Registry::AppendCallbacks(const Family& family,
                               const std::vector<std::shared_ptr<CallbackHandle::Entry>>& callbacks,
                               prometheus::MetricFamily& out) {
  // One scrape must not contain a label set twice, or Prometheus refuses it whole.
  std::map<std::vector<std::string>, double> sums;
  for (const auto& entry : callbacks) {
    std::lock_guard lock(entry->mutex);
    if (!entry->samples) continue;
    for (Sample& sample : entry->samples()) {
      Require(sample.label_values.size() == family.label_names.size(), family.name,
              "wrong number of label values in a sample");
      sums[std::move(sample.label_values)] += sample.value;
    }
  }
  for (const auto& [values, value] : sums) {
    prometheus::ClientMetric& metric = out.metric.emplace_back();
    for (size_t i = 0; i < values.size(); ++i) {
      metric.label.push_back({family.label_names[i], values[i]});
    }
    SetValue(family.type, value, metric);
  }
}

std::vector<prometheus::MetricFamily> Registry::Collect() const {
  // What exists now: pointers to things that never move, so that the rest needs no lock.
  struct View {
    const Family* family;
    std::vector<const Series*> series;
    std::vector<std::shared_ptr<CallbackHandle::Entry>> callbacks;
  };
  std::vector<View> views;
  std::vector<const WorkerMetrics*> workers;
  uint64_t refused_series = 0;
  {
    std::lock_guard lock(mutex_);
    views.reserve(families_.size() + 1);
    for (const auto& family : families_) {
      View& view = views.emplace_back(View{family.get(), {}, family->callbacks});
      view.series.reserve(family->series.size());
      for (const auto& series : family->series) view.series.push_back(series.get());
    }
    for (const auto& worker : workers_) workers.push_back(worker.get());
    refused_series = refused_series_;
  }

  std::vector<prometheus::MetricFamily> result;
  result.reserve(views.size() + 1);
  for (const View& view : views) {
    prometheus::MetricFamily out;
    out.name = view.family->name;
    out.help = view.family->help;
    out.type = ToPrometheus(view.family->type);
    for (const Series* series : view.series) AppendSeries(*view.family, *series, workers, out);
    AppendCallbacks(*view.family, view.callbacks, out);
    if (!out.metric.empty()) result.push_back(std::move(out));
  }

  prometheus::MetricFamily& refused = result.emplace_back();
  refused.name = families::kSeriesRefused.name;
  refused.help = families::kSeriesRefused.help;
  refused.type = prometheus::MetricType::Counter;
  refused.metric.emplace_back().counter.value = static_cast<double>(refused_series);
  return result;
}

std::string Registry::Serialize() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, Collect());
  return std::move(out).str();
}

}  // namespace outrigger::metrics
