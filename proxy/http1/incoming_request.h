// Takes the head of a request from what a connection has received: parsed, its framing and an asked
// upgrade judged, its fields put into the http::Request.
//
//   const TakenHead taken = TakeRequestHead(context, buffer.view(), progress, request);
//   if (taken.status == HeadStatus::kError) -> refuse with taken.error
//
// What it puts into the request are views into the bytes received. Pure but for `progress` and
// `request`.

#pragma once

#include <string_view>

#include "proxy/http/request.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"
#include "proxy/http1/server_context.h"

namespace outrigger::http1 {

struct TakenHead {
  HeadStatus status = HeadStatus::kIncomplete;
  FramingError error;  // of kError
  // Of a complete one.
  uint8_t minor_version = 1;
  size_t bytes = 0;
  RequestFraming framing;
};

// REQUIRES: a new request, which is of no use unless the head is complete.
TakenHead TakeRequestHead(const ServerContext& context, std::string_view received,
                          HeadProgress& progress, http::Request& request);

}  // namespace outrigger::http1
