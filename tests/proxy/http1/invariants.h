// What must hold for any bytes whatever; checked by property tests and by the fuzz targets.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http1/head_parser.h"

namespace outrigger::http1 {

// What was accepted at the limits may be over them in its normal form: Host for HTTP/1.0, fields of
// framing, line ends of two bytes.
inline constexpr HeadLimits kNormalFormLimits = {
    .max_head_bytes = 2 * HeadLimits().max_head_bytes,
    .max_fields = HeadLimits().max_fields + 8,
    .max_target_bytes = 2 * HeadLimits().max_target_bytes};

// Parses `bytes` as a request and as a response, whole and in pieces that `seed` decides, and
// writes what was accepted. Empty when all is well, else which promise was broken:
//   - the result does not depend on the pieces; no more is consumed than there is
//   - what was accepted can be written, and what was written is accepted again and means the same
//   - what goes on has no field that ends at this hop but those that the serialiser made itself
std::string CheckHeadInvariants(std::string_view bytes, uint64_t seed);

// The same for a chunked body:
//   - the result does not depend on the pieces; no more is consumed than there is
//   - data and trailers, encoded anew, decode to the same
std::string CheckChunkedInvariants(std::string_view bytes, uint64_t seed);

}  // namespace outrigger::http1
