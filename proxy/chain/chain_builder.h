// Builds the chains of one worker from a configuration: the one place where the order of the
// filters is turned into objects.
//
// Called on the worker that will use the result, or before it runs.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "filters/breaker/prober.h"
#include "filters/idempotency/execution_runtime.h"
#include "proxy/chain/chain_snapshot.h"
#include "proxy/chain/shared_state.h"
#include "proxy/event/deadline_queues.h"
#include "proxy/log/logger.h"

namespace outrigger::chain {

// What the filters of one worker are made with; all of it outlives the chains.
struct ChainParts {
  Loop& loop;
  DeadlineQueues& timeouts;
  Random& random;
  metrics::WorkerMetrics& metrics;
  metrics::StandardMetrics& standard_metrics;
  log::Logger& log;
  SharedState& shared;
  idempotency::ExecutionRuntime& executions;
  // Makes the end of a chain that leads to the upstream of this name.
  std::function<std::unique_ptr<Filter>(const std::string& upstream)> new_router;
  // Whom rate limits refuse; null: not counted.
  metrics::LabelledCounter* refused_tenants = nullptr;
  // Asks for breakers whether the service works again; null: another worker does.
  breaker::Probers* probers = nullptr;
};

std::shared_ptr<const ChainSnapshot> BuildChains(std::shared_ptr<const config::Config> config,
                                                 const ChainParts& parts);

}  // namespace outrigger::chain
