#include "proxy/base/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

namespace outrigger {
namespace {

TEST(MemoryBudget, AdmitsExactlyItsLimit) {
  for (size_t limit : {size_t{1}, size_t{50}, size_t{1050}, size_t{48} << 20}) {
    SCOPED_TRACE(limit);
    MemoryBudget budget(limit);
    EXPECT_TRUE(budget.TryCharge(limit));
    EXPECT_FALSE(budget.TryCharge(1));
    EXPECT_EQ(budget.used_bytes(), limit);
  }
}

TEST(MemoryBudget, RefusesAboveThePercentageAsked) {
  MemoryBudget budget(1000);
  EXPECT_FALSE(budget.TryCharge(801, 80));
  EXPECT_TRUE(budget.TryCharge(800, 80));
  EXPECT_FALSE(budget.TryCharge(1, 80));
  EXPECT_TRUE(budget.TryCharge(1, 95));
  EXPECT_EQ(budget.used_bytes(), 801u);
}

TEST(MemoryBudget, CannotBeOverflowed) {
  MemoryBudget budget(1000);
  ASSERT_TRUE(budget.TryCharge(10));
  EXPECT_FALSE(budget.TryCharge(~size_t{0}));
  EXPECT_FALSE(budget.TryCharge(~size_t{0} - 5));
  MemoryBudget huge(~size_t{0});
  EXPECT_TRUE(huge.TryCharge(~size_t{0}));
}

TEST(MemoryBudget, ChargesBeyondTheLimitWhatIsAlreadyHere) {
  MemoryBudget budget(100);
  budget.Charge(250);
  EXPECT_EQ(budget.used_bytes(), 250u);
  EXPECT_FALSE(budget.TryCharge(1));
  budget.Release(250);
  EXPECT_TRUE(budget.TryCharge(1));
}

TEST(MemoryBudget, StopsBufferingAbove80AndRequestsAbove95Percent) {
  MemoryBudget budget(1000);
  budget.Charge(800);
  EXPECT_FALSE(budget.refuses_buffering());
  budget.Charge(1);
  EXPECT_TRUE(budget.refuses_buffering());
  EXPECT_FALSE(budget.refuses_requests());
  budget.Charge(149);
  EXPECT_FALSE(budget.refuses_requests());
  budget.Charge(1);
  EXPECT_TRUE(budget.refuses_requests());
}

TEST(MemoryBudget, IsNeverExceededByThreadsThatTry) {
  constexpr size_t kLimit = 1000;
  MemoryBudget budget(kLimit);
  std::atomic<size_t> most{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&budget, &most, t] {
      for (int i = 0; i < 20'000; ++i) {
        const size_t bytes = 100 + t * 150;
        if (!budget.TryCharge(bytes)) continue;
        size_t used = budget.used_bytes();
        size_t seen = most.load();
        while (used > seen && !most.compare_exchange_weak(seen, used)) {
        }
        budget.Release(bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.used_bytes(), 0u);
  EXPECT_GT(most.load(), 0u);
  EXPECT_LE(most.load(), kLimit);
}

TEST(BudgetLease, GivesBackWhatItHolds) {
  MemoryBudget budget(1000);
  {
    BudgetLease lease(&budget);
    EXPECT_TRUE(lease.TryGrow(600));
    EXPECT_FALSE(lease.TryGrow(600));
    EXPECT_EQ(lease.bytes(), 600u);
    lease.Grow(600);
    EXPECT_EQ(budget.used_bytes(), 1200u);
    lease.Clear();
    EXPECT_EQ(budget.used_bytes(), 0u);
    lease.Grow(1);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(BudgetLease, IsCountedOnceWhenMoved) {
  MemoryBudget budget(1000);
  {
    BudgetLease first(&budget);
    first.Grow(100);
    BudgetLease second(std::move(first));
    EXPECT_EQ(first.bytes(), 0u);
    EXPECT_EQ(second.bytes(), 100u);
    BudgetLease third(&budget);
    third.Grow(7);
    third = std::move(second);
    EXPECT_EQ(budget.used_bytes(), 100u);
    BudgetLease& same = third;
    third = std::move(same);
    EXPECT_EQ(third.bytes(), 100u);
    first.Grow(5);  // a lease that was moved from can be used again
    EXPECT_EQ(budget.used_bytes(), 105u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

}  // namespace
}  // namespace outrigger
