// A limit for the time to the first content event that follows what the service does (semantics
// TO-4): `factor` times the 99th percentile of the times seen lately, not below `floor` and not
// above `cap`.
//
//   const absl::Duration limit = times.Limit(loop.Now());   // for an attempt that begins now
//   ...
//   times.Record(first_content - attempt_began, loop.Now());
//   times.RecordCut(waited, loop.Now());                    // or: it was cut at the limit
//
// A stream that was cut counts with the time that it was waited for: it would have taken at least
// as long. Without that only quick ones would be seen and the limit could never grow. With it, a
// service that has become slower is cut only for a while:
// - When one in a hundred of the window was cut, the percentile is the limit itself, and the next
//   limit `factor` times that, up to the cap. At a steady rate each such step takes at most a
//   hundredth of the window, six seconds.
// - When kCutsInARow were cut with no first content between them, what was seen before is no guide
//   any more: it is forgotten, and the cut counts as kEnough. So a breaker that lets few through
//   by then does not delay the step.
// Attempts that ended otherwise (an error, a client that left) say nothing about the time.
//
// The window is the present slice of five minutes and the one before it. Until it has kEnough
// times, the smallest number of which one in a hundred is more than none, `otherwise` holds.
//
// One for each route and upstream, shared by all workers. Thread-safe: Record() takes a short
// mutex, Limit() is two loads but at the turn of a slice. Constant cost; the percentile is within
// TimeHistogram's error, upwards. A worker whose clock is a little behind writes into the newest
// slice.

#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"
#include "filters/timeout/time_histogram.h"
#include "proxy/base/time.h"

namespace outrigger::timeout {

struct AdaptivePolicy {
  double factor = 3;
  absl::Duration floor = absl::Seconds(5);
  absl::Duration cap = absl::Seconds(120);
  absl::Duration otherwise = absl::Seconds(60);

  friend bool operator==(const AdaptivePolicy&, const AdaptivePolicy&) = default;
};

class AdaptiveLimit {
 public:
  static constexpr int64_t kSliceNanos = 5 * 60 * int64_t{1'000'000'000};
  static constexpr uint32_t kEnough = 100;
  // As many as open a breaker by default.
  static constexpr int kCutsInARow = 5;

  // REQUIRES: policy.factor > 1, policy.floor <= policy.cap.
  explicit AdaptiveLimit(const AdaptivePolicy& policy);

  absl::Duration Limit(MonoTime now);
  void Record(absl::Duration time, MonoTime now);
  void RecordCut(absl::Duration waited, MonoTime now);
  // After a reload; what was recorded stays.
  void SetPolicy(const AdaptivePolicy& policy);

 private:
  // REQUIRES of these: mutex_ is held.
  void Turn(MonoTime now);
  bool has_enough() const { return older_.count() + newer_.count() >= kEnough; }
  void Publish();

  std::mutex mutex_;  // guards what is not atomic
  AdaptivePolicy policy_;
  int cuts_in_a_row_ = 0;
  int64_t slice_ = 0;  // number of the present one
  TimeHistogram older_;
  TimeHistogram newer_;
  // Written with the mutex held.
  std::atomic<int64_t> slice_end_nanos_{kSliceNanos};
  std::atomic<int64_t> limit_nanos_{0};
};

}  // namespace outrigger::timeout
