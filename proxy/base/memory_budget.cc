#include "proxy/base/memory_budget.h"

#include <utility>

namespace outrigger {

bool MemoryBudget::TryCharge(size_t bytes, unsigned percent) {
  const size_t ceiling = Percent(percent);
  size_t used = used_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > ceiling || used > ceiling - bytes) return false;
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

BudgetLease& BudgetLease::operator=(BudgetLease&& other) noexcept {
  if (this != &other) {
    Clear();
    budget_ = other.budget_;
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

bool BudgetLease::TryGrow(size_t bytes, unsigned percent) {
  if (!budget_->TryCharge(bytes, percent)) return false;
  bytes_ += bytes;
  return true;
}

void BudgetLease::Grow(size_t bytes) {
  budget_->Charge(bytes);
  bytes_ += bytes;
}

void BudgetLease::Clear() {
  if (bytes_ != 0) budget_->Release(std::exchange(bytes_, 0));
}

}  // namespace outrigger
