// What the drivers of a listener's requests share. Everything in it outlives them. One worker.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/base/memory_budget.h"
#include "proxy/chain/chain_snapshot.h"
#include "proxy/chain/identity.h"
#include "proxy/event/event_loop.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::chain {

struct DriverContext {
  Loop& loop;
  metrics::WorkerMetrics& metrics;
  metrics::StandardMetrics& standard_metrics;
  log::Logger& log;
  IdentityMaker& identity;
  MemoryBudget& budget;
  // The newest snapshot; each stream copies the pointer when it begins.
  const std::shared_ptr<const ChainSnapshot>& snapshot;
  size_t listener = 0;
  std::string_view via_name;     // of this process, to recognise a loop
  const bool& is_draining;       // answers say `Connection: close`
  const bool& refuses_requests;  // the lame duck is over: 503 `draining`
  // Counted for the drain, read by the main thread; this worker alone writes.
  std::atomic<int64_t>& active_requests;
};

}  // namespace outrigger::chain
