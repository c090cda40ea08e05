// What is said once about a request, at its end: metrics of its route and the access log.

#pragma once

#include <optional>

#include "proxy/chain/driver_context.h"
#include "proxy/http/request.h"
#include "proxy/http/response.h"

namespace outrigger::chain {

struct Conclusion {
  const http::Request& request;
  const config::Config& config;       // of the request's snapshot
  const RouteChain* route = nullptr;  // null: it ended before there was one
  http::StreamOutcome outcome = http::StreamOutcome::kComplete;
  http::Reason reason = http::Reason::kNone;
  int status = 0;                  // 0: the client left before there was one
  std::optional<int> grpc_status;  // as the caller was told it
  bool is_stream = false;
  MonoTime answered;  // precise; when it became a tunnel, or ended
  MonoTime ended;
};

void RecordConclusion(DriverContext& context, const Conclusion& conclusion);

}  // namespace outrigger::chain
