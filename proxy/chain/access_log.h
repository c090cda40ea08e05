// The one log line of a request (semantics OB-5): ids, route, verdicts of the filters, timings.
// Never bodies, idempotency keys or credentials; the tenant is a hash already.

#pragma once

#include <optional>
#include <string_view>

#include "proxy/http/request.h"
#include "proxy/http/response.h"
#include "proxy/log/logger.h"

namespace outrigger::chain {

struct AccessLogEntry {
  const http::Request& request;
  std::string_view route;
  int status = 0;                  // 0: the client left before there was one
  std::optional<int> grpc_status;  // as the caller was told it
  http::Reason reason = http::Reason::kNone;
  bool is_stream = false;
  http::StreamOutcome outcome = http::StreamOutcome::kComplete;
  MonoTime ended;  // precise
};

void WriteAccessLog(log::Logger& log, const AccessLogEntry& entry);

std::string_view StreamOutcomeName(http::StreamOutcome outcome);

}  // namespace outrigger::chain
