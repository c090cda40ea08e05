// What is known about the answer to a gRPC call, kept up to date by the commit gate as bytes pass
// (filters/common/commit_gate.h) and read by the filters around it. The verdict on a call is its
// `grpc-status`, which comes last.

#pragma once

#include <optional>

#include "proxy/http/headers.h"

namespace outrigger::http {

struct GrpcState {
  // From trailers, or from a head that is all there is. Unset once `is_ended`: the service left it
  // out.
  std::optional<int> status;
  bool is_ended = false;
  // Bytes of a message have come: the answer is passed on and cannot be tried again.
  bool has_message = false;
  // The fields that the status came with; null: those of the head. They live as long as the body.
  const HeaderList* trailers = nullptr;
};

}  // namespace outrigger::http
