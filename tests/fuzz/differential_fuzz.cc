// Any bytes as a request or a response, here and in llhttp: what must hold is said in
// tests/differential/compare.h. The first byte says which of the two it is.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/differential/compare.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using outrigger::http1::Side;
  if (size == 0) return 0;
  const Side side = data[0] == '>' ? Side::kRequest : Side::kResponse;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string problem = outrigger::http1::Compare(side, bytes);
  if (!problem.empty()) {
    std::fprintf(stderr, "%s\n", problem.c_str());
    std::abort();
  }
  return 0;
}
