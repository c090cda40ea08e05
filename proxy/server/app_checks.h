// The checks of the services (HL-5) that a configuration asks for: one for each endpoint.

#pragma once

#include <vector>

#include "proxy/admin/app_check.h"
#include "proxy/chain/shared_state.h"
#include "proxy/config/config.h"
#include "proxy/server/tls_contexts.h"

namespace outrigger::server {

std::vector<admin::AppCheckConfig> MakeAppChecks(const config::Config& config, const TlsSet& tls,
                                                 chain::SharedState& shared);

// Whether MakeAppChecks() would make others: another check begins anew.
bool HasOtherAppChecks(const config::Config& before, const config::Config& next);

}  // namespace outrigger::server
