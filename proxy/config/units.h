// Values with units as people write them, and back.
//
//   ParseDuration("1h30m")  ParseSize("64KiB")  ParseRate("100/s")  ParseRatio("20%")
//
// Pure functions. An error's message says what is expected and repeats what came; *Text gives the
// shortest text that parses to the same value.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace outrigger::config {

// `count` events in each interval of length `per`.
struct RateSpec {
  int64_t count = 0;
  absl::Duration per = absl::Seconds(1);

  friend bool operator==(const RateSpec&, const RateSpec&) = default;
};

// us, ms, s, m, h, d from large to small, each at most once: 250ms, 5s, 1.5s, 1h30m; also 0.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);
std::string DurationText(absl::Duration duration);

// Bytes: 512, 512B, 64KiB, 2MiB, 1GiB (powers of 1024) or 64kB, 2MB, 1GB (powers of 1000).
absl::StatusOr<size_t> ParseSize(std::string_view text);
std::string SizeText(size_t bytes);

// 100/s, 6000/m, 10/h, 5/10s.
absl::StatusOr<RateSpec> ParseRate(std::string_view text);
std::string RateText(const RateSpec& rate);

// 20% or 0.2; from 0 to 1.
absl::StatusOr<double> ParseRatio(std::string_view text);
std::string RatioText(double ratio);

// 3 or 2.5; not negative.
absl::StatusOr<double> ParseNumber(std::string_view text);

// A whole number in decimal, with an optional minus sign.
absl::StatusOr<int64_t> ParseCount(std::string_view text);

}  // namespace outrigger::config
