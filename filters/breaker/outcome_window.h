// Counts over the last `length` of time, in ten buckets that age out one by one.
//
//   OutcomeWindow window(absl::Seconds(10), now);
//   window.Add({.samples = 1, .failures = 1}, now);
//   window.Total(now).failures
//
// The newest bucket is the one being filled, so that the counts span between nine and ten tenths of
// the length. Times that run back count into the newest bucket. Not thread-safe.

#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "proxy/base/time.h"

namespace outrigger::breaker {

struct Counts {
  int64_t samples = 0;  // successes and failures
  int64_t failures = 0;
  int64_t timed = 0;  // whose time to the first content is known, or known to be too long
  int64_t slow = 0;

  friend bool operator==(const Counts&, const Counts&) = default;
};

class OutcomeWindow {
 public:
  // REQUIRES: length >= 10 ns.
  OutcomeWindow(absl::Duration length, MonoTime now);

  void Add(const Counts& counts, MonoTime now);
  const Counts& Total(MonoTime now);
  void Clear();

 private:
  static constexpr int64_t kBuckets = 10;

  void Advance(MonoTime now);

  int64_t width_nanos_;
  int64_t newest_;  // number of the newest bucket since the clock's zero
  std::array<Counts, kBuckets> buckets_{};
  Counts total_;
};

}  // namespace outrigger::breaker
