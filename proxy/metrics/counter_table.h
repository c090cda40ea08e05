// Counters that differ in one or two labels from closed lists, made when first used: most
// combinations of a code class and a reason never happen.
//
//   CounterTable requests(registry, kRequests, {route}, code_classes, reasons);
//   worker.Increment(requests.At(code_class, reason));
//
// Thread-safe. A used combination costs one relaxed load to find; the first use takes the
// registry's mutex. The registry must outlive the table.

#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/metrics/registry.h"

namespace outrigger::metrics {

class CounterTable {
 public:
  // The descriptor's labels are `fixed`, then `rows`, then `columns` if there are any. `rows` and
  // `columns` are static text.
  CounterTable(Registry& registry, const Descriptor& descriptor,
               const std::vector<std::string_view>& fixed, std::span<const std::string_view> rows,
               std::span<const std::string_view> columns = {});

  // REQUIRES: indices within the lists given.
  CounterId At(size_t row, size_t column = 0) {
    const uint32_t cell = cells_[row * column_count_ + column].load(std::memory_order_relaxed);
    if (cell != 0) [[likely]] {
      return CounterId{cell};
    }
    return Resolve(row, column);
  }

 private:
  CounterId Resolve(size_t row, size_t column);

  Registry& registry_;
  const Descriptor descriptor_;
  const std::vector<std::string> fixed_;
  const std::span<const std::string_view> rows_;
  const std::span<const std::string_view> columns_;
  const size_t column_count_;
  const std::unique_ptr<std::atomic<uint32_t>[]> cells_;
};

}  // namespace outrigger::metrics
