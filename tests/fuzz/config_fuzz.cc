// Any bytes as a configuration file: each is refused with places or read; what is read can be
// written down and reads back the same.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

void Require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

void Check(std::string_view text) {
  const Expected<Config, ConfigErrors> config = Parse(text, "fuzz");
  if (!config.ok()) {
    Require(!config.error().errors.empty(), "refused without an error");
    SourceLocation last;
    for (const ConfigError& error : config.error().errors) {
      Require(error.where.line > 0 && error.where.column > 0, "no place: " + error.message);
      Require(last <= error.where, "not sorted: " + error.message);
      last = error.where;
    }
    return;
  }
  const nlohmann::ordered_json dump = ToJson(*config);
  const Expected<Config, ConfigErrors> again = Parse(dump.dump(), "dump");
  Require(again.ok(), again.ok() ? "" : again.error().ToString());
  Require(ToJson(*again) == dump, "the dump reads back differently");
}

}  // namespace
}  // namespace outrigger::config

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  outrigger::config::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
