// The row of the outcome table that a response stands for, as far as is known: what retry, breaker
// and idempotency ask first.

#pragma once

#include "filters/common/outcome.h"
#include "proxy/grpc/status.h"
#include "proxy/http/response.h"

namespace outrigger::common {

// Of a gRPC call its status counts, which is known at its end; until then it is a success.
inline Event ClassifyGrpcAnswer(const http::GrpcState& state) {
  if (!state.status.has_value() && !state.is_ended) return Event::kSuccess;
  // The service has answered, so it had the request. Without a status clients make it UNKNOWN.
  return ClassifyGrpcStatus(state.status.value_or(grpc::kUnknown), /*was_sent=*/true);
}

// REQUIRES: the response is the service's, not a reply of the proxy's own.
inline Event ClassifyAnswer(const http::Response& response) {
  switch (response.stream_error) {
    case http::StreamError::kThrottled:
      return Event::kStreamErrorThrottled;
    case http::StreamError::kServer:
      return Event::kStreamErrorServer;
    case http::StreamError::kInvalid:
      return Event::kStreamErrorInvalid;
    case http::StreamError::kNone:
      break;
  }
  if (response.grpc != nullptr) return ClassifyGrpcAnswer(*response.grpc);
  return ClassifyResponse(response.status, response.headers);
}

}  // namespace outrigger::common
