// Bends an answer as a fault plan says. Pure: no socket, no clock.

#pragma once

#include "absl/status/status.h"
#include "tools/mock-ai/answer.h"
#include "tools/mock-ai/faults.h"

namespace outrigger::mock_ai {

// Everything of the plan but what is decided before an answer exists: status, early response, times
// of the tokens, 100 Continue. InvalidArgument when the fault needs an event stream and the answer
// is none: a fault is never ignored silently.
absl::Status ApplyFaults(const FaultPlan& plan, Answer& answer);

}  // namespace outrigger::mock_ai
