// The metrics that are computed when somebody scrapes: of the shared state, the configuration, the
// log and the services' health.

#pragma once

#include <vector>

#include "proxy/admin/health.h"
#include "proxy/chain/shared_state.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/registry.h"
#include "proxy/server/config_status.h"

namespace outrigger::server {

struct StateMetricsParts {
  chain::SharedState& shared;
  const log::LogService& logs;
  const admin::HealthState& health;
  const ConfigStatus& config;
};

// What `parts` names must outlive the handles.
std::vector<metrics::CallbackHandle> AddStateMetrics(metrics::Registry& registry,
                                                     const StateMetricsParts& parts);

}  // namespace outrigger::server
