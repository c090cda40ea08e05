// How fast a limit refills: so many tokens in such a period, kept as an exact fraction.
//
//   absl::StatusOr<Rate> rate = Rate::Parse("100000/m");   // also "5/h", "10/100ms", "1000/15m"
//   rate->ToString();                                      // "100000/m"
//
// Limits count in nano-tokens (10^-9 of a token) and nanoseconds. The rate is the reduced fraction
// numerator()/denominator() in nano-tokens per nanosecond (which is tokens per second), so that
// nothing is ever rounded away: what does not make a whole nano-token is carried as a remainder.
// Periods are whole milliseconds, which keeps the denominator below 2^32.
//
// A plain value; may be copied between threads. Errors: InvalidArgument, naming the text.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace outrigger::rate_limit {

inline constexpr int64_t kNanoTokens = 1'000'000'000;

class Rate {
 public:
  static constexpr int64_t kMaxCount = 1'000'000'000;
  static constexpr absl::Duration MaxPeriod() { return absl::Hours(24 * 31); }

  // One token a second.
  Rate() = default;
  // `text` is COUNT/PERIOD where the period is one of ms, s, m, h, d with an optional whole number
  // before it.
  static absl::StatusOr<Rate> Parse(std::string_view text);
  // The period must be a whole number of milliseconds.
  static absl::StatusOr<Rate> Make(int64_t count, absl::Duration period);

  int64_t count() const { return count_; }
  absl::Duration period() const { return absl::Milliseconds(period_millis_); }
  int64_t numerator() const { return numerator_; }
  uint32_t denominator() const { return denominator_; }

  // Nano-tokens that `nanos` bring, at most `limit`. `*remainder` carries what was too little for a
  // whole one from call to call; it is dropped at the limit, where a bucket runs over.
  // REQUIRES: nanos >= 0, limit >= 0, *remainder < denominator().
  int64_t Accrue(int64_t nanos, int64_t limit, uint32_t* remainder) const;
  // The fewest nanoseconds that bring `nano_tokens` to one who holds `remainder`. Saturates.
  int64_t NanosToBring(int64_t nano_tokens, uint32_t remainder) const;

  std::string ToString() const;

  friend bool operator==(const Rate&, const Rate&) = default;

 private:
  int64_t count_ = 1;
  int64_t period_millis_ = 1000;
  int64_t numerator_ = 1;
  uint32_t denominator_ = 1;
};

}  // namespace outrigger::rate_limit
