// What a metric family is: written down once, used to register its series and to generate
// docs/metrics.md.
//
//   inline constexpr Descriptor kRetries = {"outrigger_retries_total", Type::kCounter,
//                                           "cause,result", "Retries by cause and by what became of
//                                           them."};
//
// A plain constant; its text lives as long as the program.

#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace outrigger::metrics {

enum class Type : uint8_t { kCounter, kGauge, kHistogram };

// Whether a series is shown before anything was recorded in it. Zeroes let rate() see the first
// event; histograms of routes that are never used would only be bulk.
enum class Shown : uint8_t { kAlways, kOnceUsed };

struct Descriptor {
  std::string_view name;  // begins with "outrigger_"; counters end in "_total"
  Type type = Type::kCounter;
  std::string_view labels;  // label names, separated by commas
  std::string_view help;
  std::span<const double> bounds = {};  // histograms: ascending upper bounds without +Inf
  Shown shown = Shown::kAlways;
};

}  // namespace outrigger::metrics
