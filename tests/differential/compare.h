// What must hold of our HTTP/1 parser beside llhttp's, for any bytes.

#pragma once

#include <string>
#include <string_view>

#include "tests/differential/oracle.h"

namespace outrigger::http1 {

Reading ReadWithOurs(Side side, std::string_view bytes);

// Empty when all is well, else what is wrong:
//   - what llhttp refuses, as a head or as a whole message, is refused here
//   - what is accepted here ends where llhttp ends it, with the same start line, fields and body
// The exceptions are listed with their reasons in compare.cc.
std::string Compare(Side side, std::string_view bytes);

}  // namespace outrigger::http1
