#include "filters/breaker/outcome_window.h"

#include <algorithm>

namespace outrigger::breaker {
namespace {

void Accumulate(Counts& sum, const Counts& counts, int64_t sign) {
  sum.samples += sign * counts.samples;
  sum.failures += sign * counts.failures;
  sum.timed += sign * counts.timed;
  sum.slow += sign * counts.slow;
}

}  // namespace

OutcomeWindow::OutcomeWindow(absl::Duration length, MonoTime now)
    : width_nanos_(absl::ToInt64Nanoseconds(length) / kBuckets),
      newest_(now.nanos() / width_nanos_) {}

void OutcomeWindow::Add(const Counts& counts, MonoTime now) {
  Advance(now);
  Accumulate(buckets_[newest_ % kBuckets], counts, 1);
  Accumulate(total_, counts, 1);
}

const Counts& OutcomeWindow::Total(MonoTime now) {
  Advance(now);
  return total_;
}

void OutcomeWindow::Clear() {
  buckets_.fill({});
  total_ = {};
}

void OutcomeWindow::Advance(MonoTime now) {
  const int64_t current = now.nanos() / width_nanos_;
  if (current <= newest_) return;
  const int64_t aged = std::min(current - newest_, kBuckets);
  for (int64_t i = 1; i <= aged; ++i) {
    Counts& bucket = buckets_[(newest_ + i) % kBuckets];
    Accumulate(total_, bucket, -1);
    bucket = {};
  }
  newest_ = current;
}

}  // namespace outrigger::breaker
