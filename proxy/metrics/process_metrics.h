// What the kernel knows about this process: start time, memory, CPU time, file descriptors.
//
//   std::vector<CallbackHandle> process = AddProcessMetrics(registry);
//
// Read at scrape time. A value that cannot be read is left out.

#pragma once

#include <vector>

#include "proxy/metrics/registry.h"

namespace outrigger::metrics {

std::vector<CallbackHandle> AddProcessMetrics(Registry& registry);

}  // namespace outrigger::metrics
