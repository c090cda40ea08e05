// Sends the answer that the proxy makes itself when a request has failed before its head was sent
// (semantics B0.3).

#pragma once

#include <optional>
#include <string_view>

#include "proxy/http/failure.h"
#include "proxy/http/server_stream.h"

namespace outrigger::chain {

struct SentReply {
  int status = 0;
  std::optional<int> grpc_status;  // told to the caller of a gRPC call
};

// The whole answer, with the fields that filters have added to the request's. `detail`: one
// sentence, or empty. REQUIRES: no head was sent; `date` is in the request's arena or static.
SentReply SendFailureReply(http::ServerStream& stream, http::Request& request,
                           const http::Failure& failure, std::string_view detail,
                           std::string_view date, bool is_draining);

}  // namespace outrigger::chain
