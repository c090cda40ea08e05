// What becomes of a try that is a gRPC call: its status, which comes last, is the verdict
// (semantics B0.2, PR-3).
//
// A call whose status is known is judged by it. Another one has succeeded, for the time being, when
// the first bytes of a message are here; a bad status behind them, or a cut, adds a failure later.
// One worker.

#pragma once

#include "filters/breaker/attempt.h"

namespace outrigger::breaker {

// REQUIRES: response.grpc is set, and the status is good or not known yet.
void WatchGrpc(Attempt attempt, http::Effects effects, http::Response& response);

}  // namespace outrigger::breaker
