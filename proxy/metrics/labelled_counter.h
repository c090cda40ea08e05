// Counters of one family whose label comes from requests, so that its values must be bounded
// (OB-6).
//
//   LabelValueTable tenants(registry, "tenant", 1000);                      // of the process
//   LabelledCounter refused(registry, worker, kRefusals, tenants);          // of each worker
//   refused.Increment(request.tenant);
//
// The first values get a series each; what comes after counts as `other`, and each such observation
// in outrigger_labels_folded_total. All workers fold the same values.
//
// LabelValueTable is thread-safe and outlives the counters; a LabelledCounter belongs to the thread
// that writes to its WorkerMetrics. A value that this worker has seen costs one look-up; a new one
// takes the mutexes of the table and of the registry.

#pragma once

#include <string_view>
#include <vector>

#include "proxy/metrics/label_interner.h"
#include "proxy/metrics/registry.h"

namespace outrigger::metrics {

// The values of one label, and how often one was replaced by `other`.
struct LabelValueTable {
  LabelValueTable(Registry& registry, std::string_view label, size_t max_values);

  LabelInterner values;
  const CounterId folded;
};

class LabelledCounter {
 public:
  // REQUIRES: `descriptor`, a counter with one label, is static.
  LabelledCounter(Registry& registry, WorkerMetrics& worker, const Descriptor& descriptor,
                  LabelValueTable& table);

  void Increment(std::string_view value);

 private:
  Registry& registry_;
  WorkerMetrics& worker_;
  const Descriptor& descriptor_;
  LabelValueTable& table_;
  LabelCache cache_;
  std::vector<CounterId> counters_;  // by LabelId; cell 0: not resolved yet
};

}  // namespace outrigger::metrics
