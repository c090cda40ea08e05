// Points in time for deadlines and measurements.
//
//   MonoTime deadline = loop.Now() + absl::Seconds(30);
//   if (deadline <= loop.Now()) ...
//
// A *timeout* is an absl::Duration, a *deadline* is a MonoTime. MonoTime counts nanoseconds of the
// steady clock and has no relation to the date; absl::Time is used only for dates that people or
// peers see. Values are plain integers and may be copied between threads.

#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace outrigger {

class MonoTime {
 public:
  constexpr MonoTime() = default;

  static constexpr MonoTime FromNanos(int64_t nanos) { return MonoTime(nanos); }
  // Later than every other point; a deadline that never passes.
  static constexpr MonoTime Infinite() { return MonoTime(std::numeric_limits<int64_t>::max()); }

  constexpr int64_t nanos() const { return nanos_; }
  constexpr bool is_infinite() const { return *this == Infinite(); }

  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;

  // Saturates at Infinite(), so that adding an infinite timeout gives an infinite deadline.
  friend MonoTime operator+(MonoTime time, absl::Duration delta) {
    return time.PlusNanos(absl::ToInt64Nanoseconds(delta));
  }
  friend absl::Duration operator-(MonoTime later, MonoTime earlier) {
    if (later.is_infinite()) return absl::InfiniteDuration();
    int64_t difference = 0;
    if (earlier.is_infinite() ||
        __builtin_sub_overflow(later.nanos_, earlier.nanos_, &difference)) {
      return later < earlier ? -absl::InfiniteDuration() : absl::InfiniteDuration();
    }
    return absl::Nanoseconds(difference);
  }
  constexpr MonoTime PlusNanos(int64_t delta) const {
    int64_t sum = 0;
    if (is_infinite()) return Infinite();
    if (!__builtin_add_overflow(nanos_, delta, &sum)) return MonoTime(sum);
    return delta > 0 ? Infinite() : MonoTime(std::numeric_limits<int64_t>::min());
  }

 private:
  explicit constexpr MonoTime(int64_t nanos) : nanos_(nanos) {}

  int64_t nanos_ = 0;
};

// The steady clock with full resolution (about 20 ns a call): for latencies.
MonoTime PreciseNow();
// The steady clock as of the last kernel tick (about 6 ns a call, up to 4 ms old): for deadlines,
// refills and windows, never for latencies.
MonoTime CoarseNow();

}  // namespace outrigger
