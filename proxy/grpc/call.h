// What tells a gRPC call from other HTTP requests (gRPC over HTTP/2, "Requests").
//
// Only HTTP/2 carries it: in HTTP/1 the same media type is a body like any other. grpc-web has a
// media type and a framing of its own and is none. Pure; any thread.

#pragma once

#include "proxy/http/headers.h"
#include "proxy/http/method.h"

namespace outrigger::grpc {

inline constexpr std::string_view kMediaType = "application/grpc";

// `application/grpc`, or with a suffix: `application/grpc+proto`. Parameters do not matter.
bool IsGrpcMediaType(std::string_view content_type);

// A POST with that media type. REQUIRES: it came by HTTP/2.
bool IsCall(http::Method method, const http::HeaderList& headers);

}  // namespace outrigger::grpc
