#include "filters/retry/budget.h"

#include <algorithm>
#include <utility>

namespace outrigger::retry {
namespace {

int64_t SliceNanos(const BudgetPolicy& policy) {
  return std::max<int64_t>(1, absl::ToInt64Nanoseconds(policy.window) / RetryBudget::kSlices);
}

}  // namespace

RetryBudget::RetryBudget(const BudgetPolicy& policy)
    : policy_(policy), slice_nanos_(SliceNanos(policy)) {}

void RetryBudget::RecordFirstAttempt(MonoTime now) {
  const std::lock_guard lock(mutex_);
  ++Current(now).first_attempts;
  ++first_attempts_;
}

bool RetryBudget::TryWithdraw(MonoTime now) {
  const std::lock_guard lock(mutex_);
  Slice& slice = Current(now);
  if (RemainingLocked() == 0) return false;
  ++slice.retries;
  ++retries_;
  return true;
}

uint64_t RetryBudget::Remaining(MonoTime now) {
  const std::lock_guard lock(mutex_);
  Current(now);
  return RemainingLocked();
}

void RetryBudget::SetPolicy(const BudgetPolicy& policy) {
  const std::lock_guard lock(mutex_);
  const int64_t old_nanos = slice_nanos_;
  policy_ = policy;
  slice_nanos_ = SliceNanos(policy);
  if (slice_nanos_ == old_nanos) return;
  // Everything that counted goes into the newest slice: forgotten later than it was, never sooner.
  slices_ = {};
  newest_ = newest_ * old_nanos / slice_nanos_;
  Slice& slice = slices_[static_cast<size_t>(newest_ % kKept)];
  slice = {first_attempts_, retries_};
}

RetryBudget::Slice& RetryBudget::Current(MonoTime now) {
  const int64_t index = std::max(newest_, now.nanos() / slice_nanos_);
  if (index != newest_) {
    for (int64_t i = std::max(newest_ + 1, index - kSlices); i <= index; ++i) {
      Slice& reused = slices_[static_cast<size_t>(i % kKept)];
      first_attempts_ -= reused.first_attempts;  // after a pause; else it has none
      retries_ -= reused.retries;
      reused = {};
      Slice& oldest = slices_[static_cast<size_t>((i + 1) % kKept)];
      first_attempts_ -= std::exchange(oldest.first_attempts, 0);
    }
    newest_ = index;
  }
  return slices_[static_cast<size_t>(newest_ % kKept)];
}

uint64_t RetryBudget::RemainingLocked() const {
  // The smallest addition that keeps a product like 0.2 * 15 from falling below 3.
  const double earned = policy_.ratio * static_cast<double>(first_attempts_) + 1e-9;
  const uint64_t allowed = policy_.floor + static_cast<uint64_t>(earned);
  return allowed > retries_ ? allowed - retries_ : 0;
}

}  // namespace outrigger::retry
