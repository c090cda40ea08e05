#include "proxy/metrics/labelled_counter.h"

#include "proxy/metrics/descriptors.h"

namespace outrigger::metrics {

LabelValueTable::LabelValueTable(Registry& registry, std::string_view label, size_t max_values)
    : values(max_values), folded(registry.AddCounter(families::kLabelsFolded, {label})) {}

LabelledCounter::LabelledCounter(Registry& registry, WorkerMetrics& worker,
                                 const Descriptor& descriptor, LabelValueTable& table)
    : registry_(registry),
      worker_(worker),
      descriptor_(descriptor),
      table_(table),
      cache_(table.values) {}

void LabelledCounter::Increment(std::string_view value) {
  const LabelId label = cache_.Intern(value);
  if (label == LabelId::kOther) worker_.Increment(table_.folded);
  const auto index = static_cast<size_t>(label);
  if (index >= counters_.size()) counters_.resize(index + 1);
  CounterId& counter = counters_[index];
  if (counter.cell == 0) counter = registry_.AddCounter(descriptor_, {table_.values.Text(label)});
  worker_.Increment(counter);
}

}  // namespace outrigger::metrics
