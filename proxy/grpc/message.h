// The text of a `grpc-message` field: percent-encoded UTF-8 (gRPC over HTTP/2, "Status-Message").
//
// Pure; any thread.

#pragma once

#include <string_view>

#include "proxy/base/arena.h"

namespace outrigger::grpc {

// Printable ASCII but '%' stays as it is, all else becomes %XX; so do spaces at either end, which a
// field's value must not have. The result is `text` itself when there is nothing to encode.
std::string_view EncodeMessage(std::string_view text, Arena& arena);

}  // namespace outrigger::grpc
