// The fields that go upstream with a request, and those of an answer that are taken off
// (semantics PR-8).
//
// Kept: everything the client sent, in order, but for `x-outrigger-*` and for the fields that are
// rewritten here. Rewritten or added: X-Forwarded-For (the peer appended), X-Forwarded-Proto and
// X-Forwarded-Host (when absent), Via, x-request-id, traceparent, x-outrigger-attempt, and
// x-request-timeout-ms with what is left of the deadline (TO-6). Hop-by-hop fields are left out by
// the serialiser. Pure; strings live in the request's arena.

#pragma once

#include <string_view>

#include "proxy/http/request.h"
#include "proxy/http/response.h"

namespace outrigger::upstream {

// Fills `out`, which is empty. `via_name` is what this process calls itself. `keeps_expect`: Expect
// goes along, because the body waits for it.
void BuildUpstreamHeaders(http::Request& request, MonoTime now, std::string_view via_name,
                          bool keeps_expect, http::HeaderList& out);

// Takes `x-outrigger-*` off an answer, but for the exhausted mark (RT-7).
void StripResponseHeaders(http::HeaderList& headers);

}  // namespace outrigger::upstream
