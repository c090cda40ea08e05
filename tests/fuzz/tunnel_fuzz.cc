// Any bytes where a connection may become a tunnel: the promises of
// tests/proxy/tunnel/invariants.h hold. The input decides how it is split.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "tests/proxy/tunnel/invariants.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string problem =
      outrigger::tunnel::CheckTunnelInvariants(bytes, std::hash<std::string_view>()(bytes));
  if (!problem.empty()) {
    std::fprintf(stderr, "%s\n", problem.c_str());
    std::abort();
  }
  return 0;
}
