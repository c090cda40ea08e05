// Any bytes as a JSON body: a canonical form says the same as the body, is its own form and within
// the bounds; without the ignored members it has none of them; and a fingerprint does not depend on
// how the body arrives. The first byte decides how it is cut.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "filters/idempotency/canonical_json.h"
#include "filters/idempotency/fingerprint.h"
#include "nlohmann/json.hpp"
#include "proxy/base/random.h"

namespace outrigger::idempotency {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBytes = 4096;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

std::optional<std::string> FormIn(std::string_view text, const JsonRules& rules) {
  std::optional<std::string> form = CanonicalJson(text, rules);
  if (!form.has_value()) return form;
  Require(form->size() <= rules.max_bytes, "a form beyond the bound");
  Require(CanonicalJson(*form, rules) == form, "a form that is not its own");
  return form;
}

void CheckForms(std::string_view text) {
  const std::optional<std::string> form = FormIn(text, {.max_bytes = kMaxBytes});
  if (form.has_value()) {
    const Json said = Json::parse(text.begin(), text.end(), nullptr, false);
    Require(!said.is_discarded(), "a form of something that is not JSON");
    Require(Json::parse(*form, nullptr, false) == said, "a form that says another thing");
  }
  const JsonRules ignoring{.ignored = IgnoredMembers({{"a"}, {"b", "a"}, {"c", "0", "a"}}),
                           .max_bytes = kMaxBytes};
  const std::optional<std::string> rest = FormIn(text, ignoring);
  // What is left out need not have a form itself.
  Require(!form.has_value() || rest.has_value(), "no form because something is ignored");
  if (!rest.has_value()) return;
  const Json left = Json::parse(*rest, nullptr, false);
  for (const char* pointer : {"/a", "/b/a", "/c/0/a"}) {
    const Json::json_pointer at(pointer);
    const bool is_there = left.contains(at) && left.at(at.parent_pointer()).is_object();
    Require(!is_there, "an ignored member that is there");
  }
}

void CheckFingerprint(std::string_view text, uint64_t seed) {
  const JsonRules rules{.max_bytes = kMaxBytes};
  MemoryBudget budget(size_t{1} << 20);
  Fingerprinter whole("POST", "/", "application/json", {&rules, &budget});
  Fingerprinter pieces("POST", "/", "application/json", {&rules, &budget});
  Random random(seed);
  const bool is_known = seed % 2 == 0;
  Require(pieces.Expect(is_known ? std::optional<uint64_t>(text.size()) : std::nullopt),
          "no memory");
  for (std::string_view rest = text; !rest.empty();) {
    const size_t size = std::min<size_t>(rest.size(), random.Below(100));
    pieces.Update(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  Require(whole.Finish(text).digest == pieces.Finish().digest, "another fingerprint when cut");
  Require(budget.used_bytes() == 0, "memory that stays charged");
}

}  // namespace
}  // namespace outrigger::idempotency

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace outrigger::idempotency;  // NOLINT
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  CheckForms(text);
  CheckFingerprint(text, data[0]);
  return 0;
}
