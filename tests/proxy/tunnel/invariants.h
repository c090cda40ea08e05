// What must hold of any bytes where a connection may become a tunnel, for tests and fuzzing.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::tunnel {

// `bytes` as a request's head, as the head of an answer to a handshake, and as frames. A tunnel is
// only begun for a GET of HTTP/1.1 without a body that nominates its Upgrade; what is written for
// it says so once and cannot be read otherwise; whatever else is written has no Upgrade at all; no
// answer but the right one opens it; frames are the same however they are split. `seed` decides
// that. The problem, or empty.
std::string CheckTunnelInvariants(std::string_view bytes, uint64_t seed);

// The key that an answer in `bytes` may belong to.
std::string_view KeyOfInvariants();

}  // namespace outrigger::tunnel
