// The one budget that every buffered byte is counted against (semantics LM-8): read buffers, replay
// buffers, recordings, stored answers.
//
//   if (!budget.TryCharge(bytes)) ...            // refuse, or do without the buffer
//   budget.Release(bytes);
//
// Thread-safe: relaxed atomics, one for the process that is written to. Charge() always succeeds
// and may exceed the limit, for bytes that are already here; TryCharge() refuses above the level
// given, for bytes that could be left with the peer.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace outrigger {

class MemoryBudget {
 public:
  explicit MemoryBudget(size_t limit_bytes) { SetLimit(limit_bytes); }
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // A reload. What is charged already stays, also when it is more.
  void SetLimit(size_t limit_bytes) {
    limit_bytes_.store(limit_bytes, std::memory_order_relaxed);
    no_buffering_.store(Percent(80), std::memory_order_relaxed);
    no_requests_.store(Percent(95), std::memory_order_relaxed);
  }

  void Charge(size_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  void Release(size_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  // Charges unless that would exceed `percent` of the limit.
  bool TryCharge(size_t bytes, unsigned percent = 100);

  size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  size_t limit_bytes() const { return limit_bytes_.load(std::memory_order_relaxed); }
  // LM-8: above 80 % nothing new is buffered, above 95 % new requests are refused.
  bool refuses_buffering() const {
    return used_bytes() > no_buffering_.load(std::memory_order_relaxed);
  }
  bool refuses_requests() const {
    return used_bytes() > no_requests_.load(std::memory_order_relaxed);
  }

 private:
  // Exact, and without overflow for any limit.
  size_t Percent(unsigned percent) const {
    const size_t limit = limit_bytes();
    return limit / 100 * percent + limit % 100 * percent / 100;
  }

  std::atomic<size_t> limit_bytes_{0};
  // Above these.
  std::atomic<size_t> no_buffering_{0};
  std::atomic<size_t> no_requests_{0};
  std::atomic<size_t> used_bytes_{0};
};

// Bytes charged for as long as the lease lives. Movable, not copyable.
class BudgetLease {
 public:
  BudgetLease() = default;
  explicit BudgetLease(MemoryBudget* budget) : budget_(budget) {}
  ~BudgetLease() { Clear(); }
  BudgetLease(BudgetLease&& other) noexcept : budget_(other.budget_), bytes_(other.bytes_) {
    other.bytes_ = 0;
  }
  BudgetLease& operator=(BudgetLease&& other) noexcept;

  // False, and nothing charged, when `bytes` more would exceed `percent` of the limit.
  // REQUIRES: made with a budget.
  bool TryGrow(size_t bytes, unsigned percent = 100);
  void Grow(size_t bytes);
  void Clear();
  size_t bytes() const { return bytes_; }

 private:
  MemoryBudget* budget_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace outrigger
