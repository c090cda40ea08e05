// What must hold for any bytes whatever; checked by property tests and by the fuzz targets.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::http1 {

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
