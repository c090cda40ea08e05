// How many retries an upstream may be asked for (semantics RT-3): at each retry, those of the
// window that ends with it are at most `ratio` of the window's first attempts plus `floor`.
//
//   budget.RecordFirstAttempt(now);
//   ...
//   if (!budget.TryWithdraw(now)) return failure;   // no retry
//
// A ledger over the last `window`: first attempts deposit, retries withdraw, both are forgotten
// together with their slice of the window (a tenth): first attempts with the slice in which they
// may grow older than the window, retries with the one after it, so that no window, wherever it
// begins, has more than its share. The usual floor of 10 a second never binds at the rates of
// language models; this one does.
//
// One for each upstream, shared by retries and hedges of all workers: every call takes one short
// mutex. Time is given, so that tests move it; a worker whose clock is a little behind writes into
// the newest slice.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"
#include "proxy/base/time.h"

namespace outrigger::retry {

struct BudgetPolicy {
  double ratio = 0.2;
  uint32_t floor = 3;
  absl::Duration window = absl::Seconds(10);

  friend bool operator==(const BudgetPolicy&, const BudgetPolicy&) = default;
};

class RetryBudget {
 public:
  static constexpr int kSlices = 10;

  // REQUIRES: policy.ratio >= 0, policy.window > 0.
  explicit RetryBudget(const BudgetPolicy& policy);

  void RecordFirstAttempt(MonoTime now);
  // Takes one retry out of the budget; false when there is none, and nothing is taken.
  bool TryWithdraw(MonoTime now);
  // Retries that could be withdrawn now, for the gauge.
  uint64_t Remaining(MonoTime now);
  // After a reload; what was recorded stays, in slices of the new width.
  void SetPolicy(const BudgetPolicy& policy);

 private:
  struct Slice {
    uint64_t first_attempts = 0;
    uint64_t retries = 0;
  };

  // The newest slice, older ones forgotten. REQUIRES: mutex_ is held.
  Slice& Current(MonoTime now);
  uint64_t RemainingLocked() const;

  std::mutex mutex_;
  BudgetPolicy policy_;
  int64_t slice_nanos_;
  int64_t newest_ = 0;
  // Slice number i (time / width) stands at i % kKept. The oldest of them has no first attempts any
  // more; the sums are over all of them.
  static constexpr int kKept = kSlices + 1;
  std::array<Slice, kKept> slices_;
  uint64_t first_attempts_ = 0;
  uint64_t retries_ = 0;
};

}  // namespace outrigger::retry
