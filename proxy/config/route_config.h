// Routes: which requests they claim, and what holds for those. Plain data.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/diagnostics.h"
#include "proxy/config/filter_settings.h"

namespace outrigger::config {

// Kinds of service whose requests are known well enough to choose defaults (see presets.h).
enum class Preset { kNone, kOpenai, kAnthropic, kEmbeddings, kKserve };

// What a second execution of a request does (semantics B0.2): nothing but cost; nothing, because
// the app dedupes by the forwarded key; harm.
enum class Effects { kNone, kKeyed, kUnsafe };

// What a 503 without Retry-After says of an `unsafe` request.
enum class MeaningOf503 { kMaybe, kNotExecuted };

// Everything stated must hold. Paths are compared in their normal form (semantics RU-5).
struct RouteMatch {
  // At most one of the three is set; none of them claims every path.
  std::optional<std::string> path;
  std::optional<std::string> prefix;  // ends at a segment: /v1 claims /v1 and /v1/x, not /v1x
  std::optional<std::string> path_template;    // `*` or `{name}` stands for one segment
  std::vector<std::string> methods;            // empty: any
  std::map<std::string, std::string> headers;  // by lower-case name; the value `*` is any
  std::vector<std::string> content_type;       // lower case; `text/*` claims all of text
};

struct RouteConfig {
  std::string name;  // Parse fills in route-1, route-2, ...
  RouteMatch match;
  std::optional<std::string> upstream;  // not set: the listener's
  Preset preset = Preset::kNone;
  std::optional<Effects> effects;  // not set: see EffectsOf
  MeaningOf503 means_503 = MeaningOf503::kMaybe;
  // The route's settings in full: the product's defaults, then the preset's, then what the chain
  // states, then what the route states.
  FilterSettings filters;

  SourceLocation where;

  // What executing `method` on `path` (in normal form) twice would do.
  Effects EffectsOf(std::string_view method, std::string_view normal_path) const;
};

// Whether a second execution is harmless by method (RFC 9110, section 9.2.2).
bool IsIdempotentMethod(std::string_view method);

}  // namespace outrigger::config
