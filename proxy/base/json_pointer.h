// JSON Pointers (RFC 6901): how a configuration names a place in a JSON text.
//
//   ParseJsonPointer("/metadata/trace~1id");   // {"metadata", "trace/id"}
//
// The error says what is wrong with the text. The empty pointer, which names the whole text, is
// read like any other.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace outrigger {

// The reference tokens, without their escapes.
using JsonPointer = std::vector<std::string>;

absl::StatusOr<JsonPointer> ParseJsonPointer(std::string_view text);

}  // namespace outrigger
