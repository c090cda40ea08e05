// The fields that are written anew for the upstream, and those of an answer that are taken off
// (semantics PR-8).
//
// What the client sent goes along, in order, but for `x-outrigger-*` and the fields that are
// rewritten here: X-Forwarded-For (the peer appended), X-Forwarded-Proto (when absent; Host goes
// along unchanged, so nothing says it again), Via, x-request-id, traceparent, x-outrigger-attempt,
// and x-request-timeout-ms with what is left of the deadline (TO-6), which is also what
// grpc-timeout becomes when the caller has set a deadline. Hop-by-hop fields are left out by the
// serialiser. Pure; strings live in the request's arena.

#pragma once

#include <string_view>

#include "proxy/http/request.h"
#include "proxy/http/response.h"

namespace outrigger::upstream {

struct UpstreamFields {
  // Of the request's own fields, these are left out ...
  http::HeaderIdSet skipped;
  // ... and these follow the others.
  http::HeaderList added;
};

// `via_name` is what this process calls itself. `keeps_expect`: Expect goes along, because the body
// waits for it.
void BuildUpstreamFields(http::Request& request, MonoTime now, std::string_view via_name,
                         bool keeps_expect, UpstreamFields& out);

// Takes `x-outrigger-*` off an answer, but for the exhausted mark (RT-7).
void StripResponseHeaders(http::HeaderList& headers);

}  // namespace outrigger::upstream
