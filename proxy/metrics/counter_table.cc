#include "proxy/metrics/counter_table.h"

#include <algorithm>

namespace outrigger::metrics {

CounterTable::CounterTable(Registry& registry, const Descriptor& descriptor,
                           const std::vector<std::string_view>& fixed,
                           std::span<const std::string_view> rows,
                           std::span<const std::string_view> columns)
    : registry_(registry),
      descriptor_(descriptor),
      fixed_(fixed.begin(), fixed.end()),
      rows_(rows),
      columns_(columns),
      column_count_(std::max<size_t>(columns.size(), 1)),
      cells_(std::make_unique<std::atomic<uint32_t>[]>(rows.size() * column_count_)) {}

CounterId CounterTable::Resolve(size_t row, size_t column) {
  LabelValues values(fixed_.begin(), fixed_.end());
  values.push_back(rows_[row]);
  if (!columns_.empty()) values.push_back(columns_[column]);
  const CounterId id = registry_.AddCounter(descriptor_, values);
  // Two workers that race store the same number.
  cells_[row * column_count_ + column].store(id.cell, std::memory_order_relaxed);
  return id;
}

}  // namespace outrigger::metrics
