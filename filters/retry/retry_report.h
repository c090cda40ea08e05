// What the retry filter says of its decisions: the labels of `retries_total{cause,result}`.
// Pure; any thread.

#pragma once

#include <optional>

#include "filters/retry/decide.h"
#include "proxy/http/reason.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::retry {

// Why another attempt was wanted. `status` is 0, or `reason` is kNone.
metrics::RetryCause RetryCauseOf(common::Event event, int status, http::Reason reason);

// What became of that wish. nullopt: nobody wanted one, as the service answered.
std::optional<metrics::RetryResult> RetryResultOf(common::Event event, StopCause stop);

}  // namespace outrigger::retry
