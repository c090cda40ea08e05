// What `outrigger version` and the metric build_info say.

#pragma once

#include <string_view>

namespace outrigger::server {

inline constexpr std::string_view kVersion = OUTRIGGER_VERSION;

constexpr std::string_view CompilerName() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

}  // namespace outrigger::server
