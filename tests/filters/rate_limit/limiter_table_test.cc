#include "filters/rate_limit/limiter_table.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "filters/rate_limit/key_hash.h"
#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::rate_limit {
namespace {

__extension__ using Wide = __int128;

MonoTime At(double seconds) {
  return MonoTime::FromNanos(1'000'000'000'000 + static_cast<int64_t>(seconds * 1e9));
}

LimiterTable::Options OptionsOf(const char* rate, int64_t burst, size_t max_buckets = 10'000,
                                Algorithm algorithm = Algorithm::kTokenBucket) {
  return {.algorithm = algorithm,
          .rate = Rate::Parse(rate).value(),
          .burst = burst,
          .max_buckets = max_buckets};
}

uint64_t Key(uint64_t number) {
  return SipHash({1, 2}, {reinterpret_cast<const char*>(&number), sizeof(number)});
}

TEST(LimiterTable, KeepsABucketForEachKey) {
  LimiterTable table(OptionsOf("1/s", 2), At(0));
  EXPECT_TRUE(table.Acquire(Key(1), 2, At(0)).admitted);
  EXPECT_FALSE(table.Acquire(Key(1), 1, At(0)).admitted);
  EXPECT_TRUE(table.Acquire(Key(2), 2, At(0)).admitted);
  EXPECT_EQ(table.Remaining(Key(1), At(0)), 0);
  EXPECT_EQ(table.Remaining(Key(1), At(1)), 1);
  EXPECT_EQ(table.Remaining(Key(3), At(0)), 2);
  EXPECT_EQ(table.stats().buckets, 2u);
}

TEST(LimiterTable, ARuleWithoutAKeyHasOneBucket) {
  LimiterTable table(OptionsOf("1/s", 2), At(0));
  const Decision decision = table.AcquireShared(2, At(0));
  EXPECT_TRUE(decision.admitted);
  EXPECT_FALSE(table.AcquireShared(1, At(0)).admitted);
  table.Refund(decision.receipt, At(0));
  EXPECT_TRUE(table.AcquireShared(2, At(0)).admitted);
  EXPECT_EQ(table.stats().buckets, 0u);
}

TEST(LimiterTable, RefundsTheBucketThatPaid) {
  LimiterTable table(OptionsOf("1/s", 2), At(0));
  const Decision decision = table.Acquire(Key(1), 2, At(0));
  ASSERT_TRUE(table.Acquire(Key(2), 2, At(0)).admitted);
  table.Refund(decision.receipt, At(0));
  EXPECT_FALSE(table.Acquire(Key(2), 1, At(0)).admitted);
  EXPECT_TRUE(table.Acquire(Key(1), 2, At(0)).admitted);
}

TEST(LimiterTable, NewcomersShareOneBucketWhenNoneIsFull) {
  LimiterTable table(OptionsOf("1/s", 2, 10), At(0));
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(table.Acquire(Key(i), 1, At(0)).admitted);
  int admitted = 0;
  for (uint64_t i = 10; i < 1000; ++i) admitted += table.Acquire(Key(i), 1, At(0)).admitted ? 1 : 0;
  EXPECT_EQ(admitted, 2);
  EXPECT_EQ(table.stats().buckets, 10u);
  EXPECT_EQ(table.stats().evicted, 0u);
  EXPECT_EQ(table.stats().overflowed, 990u);
}

TEST(LimiterTable, EvictsFullBucketsAlone) {
  LimiterTable table(OptionsOf("1/s", 2, 10), At(0));
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(table.Acquire(Key(i), 1, At(0)).admitted);
  // Nine are charged again; the tenth is full after a second.
  for (uint64_t i = 0; i < 9; ++i) ASSERT_TRUE(table.Acquire(Key(i), 1, At(0.5)).admitted);
  ASSERT_TRUE(table.Acquire(Key(100), 2, At(1)).admitted);
  EXPECT_EQ(table.stats().evicted, 1u);
  EXPECT_EQ(table.stats().overflowed, 0u);
  for (uint64_t i = 0; i < 9; ++i) EXPECT_EQ(table.Remaining(Key(i), At(1)), 1) << i;
  // No other is full, so the next newcomer shares.
  table.Acquire(Key(101), 1, At(1));
  EXPECT_EQ(table.stats().overflowed, 1u);
}

TEST(LimiterTable, ComingBackAfterAFloodOfNewcomersIsNoRefill) {
  // envoy-gateway#9973: with LRU eviction, a tenant that is at its limit gets a fresh bucket as
  // soon as enough other keys came by.
  LimiterTable table(OptionsOf("1/s", 5, 100), At(0));
  ASSERT_TRUE(table.Acquire(Key(0), 5, At(0)).admitted);
  for (uint64_t i = 1; i < 5000; ++i) table.Acquire(Key(i), 1, At(0));
  EXPECT_FALSE(table.Acquire(Key(0), 1, At(0)).admitted);
}

TEST(LimiterTable, LeavingTheSharedBucketIsNoRefill) {
  LimiterTable table(OptionsOf("1/s", 4, 1), At(0));
  ASSERT_TRUE(table.Acquire(Key(0), 1, At(0)).admitted);
  ASSERT_TRUE(table.Acquire(Key(1), 4, At(0)).admitted);  // from the shared bucket
  // At 1 s the only own bucket is full and gives way; key 1 must not begin with four again.
  const Decision decision = table.Acquire(Key(1), 2, At(1));
  EXPECT_FALSE(decision.admitted);
  EXPECT_EQ(table.stats().evicted, 1u);
  EXPECT_TRUE(table.Acquire(Key(1), 2, At(1) + decision.wait).admitted);
}

TEST(LimiterTable, AReceiptOfAnEvictedBucketIsWorthNothing) {
  LimiterTable table(OptionsOf("1/s", 2, 1), At(0));
  const Decision old = table.Acquire(Key(0), 1, At(0));
  ASSERT_TRUE(table.Acquire(Key(1), 2, At(10)).admitted);
  ASSERT_TRUE(table.Acquire(Key(0), 2, At(20)).admitted);
  ASSERT_EQ(table.stats().evicted, 2u);
  table.Refund(old.receipt, At(20));
  EXPECT_FALSE(table.Acquire(Key(0), 1, At(20)).admitted);
}

TEST(LimiterTable, AReloadKeepsTheBucketsAndForgetsReceipts) {
  LimiterTable table(OptionsOf("1/s", 4), At(0));
  const Decision decision = table.Acquire(Key(0), 4, At(0));
  table.AcquireShared(4, At(0));
  table.Reconfigure({.rate = Rate::Parse("10/s").value(), .burst = 8}, At(0));
  table.Refund(decision.receipt, At(0));
  EXPECT_FALSE(table.Acquire(Key(0), 1, At(0)).admitted);
  EXPECT_FALSE(table.AcquireShared(1, At(0)).admitted);
  EXPECT_TRUE(table.Acquire(Key(0), 1, At(0.1)).admitted);
  EXPECT_EQ(table.Acquire(Key(0), 8, At(0.1)).wait, absl::Milliseconds(800));
}

TEST(LimiterTable, FewerBucketsKeepThoseThatAreNotFull) {
  LimiterTable table(OptionsOf("1/s", 4, 100), At(0));
  for (uint64_t i = 0; i < 50; ++i) table.Acquire(Key(i), 1, At(0));
  for (uint64_t i = 50; i < 100; ++i) table.Acquire(Key(i), 4, At(0));
  table.Reconfigure(OptionsOf("1/s", 4, 10), At(2));
  EXPECT_EQ(table.stats().buckets, 50u) << "the full ones went";
  EXPECT_EQ(table.Remaining(Key(50), At(2)), 2);
  table.Acquire(Key(1000), 1, At(2));
  EXPECT_EQ(table.stats().buckets, 50u) << "newcomers share one";
  EXPECT_EQ(table.stats().overflowed, 1u);
}

TEST(LimiterTable, TenThousandBucketsFitAMebibyte) {
  for (const Algorithm algorithm :
       {Algorithm::kTokenBucket, Algorithm::kLeakyBucket, Algorithm::kSlidingWindow}) {
    LimiterTable table(OptionsOf("1/h", 2, 10'000, algorithm), At(0));
    for (uint64_t i = 0; i < 12'000; ++i) table.Acquire(Key(i), 1, At(0));
    EXPECT_EQ(table.stats().buckets, 10'000u);
    EXPECT_LE(table.MemoryBytes(), size_t{1} << 20);
  }
}

TEST(LimiterTable, NoKeyEverGetsMoreThanBurstPlusRate) {
  constexpr uint64_t kFirstSeed = 4'711;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + 300; ++seed) {
    Random random(seed);
    const auto algorithm = static_cast<Algorithm>(random.Below(3));
    const Rate rate = Rate::Parse(random.Below(2) == 0 ? "5/s" : "7/m").value();
    const auto burst = static_cast<int64_t>(1 + random.Below(6));
    LimiterTable table({algorithm, rate, burst, 1 + random.Below(8)}, At(0));
    struct Debt {
      Wide value = 0;
      MonoTime last;
    };
    std::map<uint64_t, Debt> debts;  // see limit_property_test.cc; nothing here is refunded late
    MonoTime now = At(0);
    for (int event = 0; event < 2000; ++event) {
      if (random.Below(3) == 0) {
        now = now.PlusNanos(static_cast<int64_t>(
            random.Below(static_cast<uint64_t>(rate.NanosToBring(kNanoTokens * 2, 0)))));
      }
      const uint64_t number = random.Below(12);
      const auto cost = static_cast<int64_t>(1 + random.Below(static_cast<uint64_t>(burst)));
      const Decision decision = table.Acquire(Key(number), cost, now);
      if (!decision.admitted) continue;
      if (random.Below(5) == 0) {
        table.Refund(decision.receipt, now);
        continue;
      }
      Debt& debt = debts[number];
      debt.value =
          std::max<Wide>(0, debt.value - Wide{now.nanos() - debt.last.nanos()} * rate.numerator());
      debt.last = now;
      debt.value += Wide{cost} * kNanoTokens * rate.denominator();
      ASSERT_LE(debt.value, Wide{burst} * kNanoTokens * rate.denominator())
          << "seed " << seed << " event " << event;
    }
  }
}

TEST(LimiterTable, HoldsTheBoundBetweenThreads) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 20'000;
  constexpr uint64_t kKeys = 24;
  for (const Algorithm algorithm :
       {Algorithm::kTokenBucket, Algorithm::kLeakyBucket, Algorithm::kSlidingWindow}) {
    // Fewer buckets than keys, so that eviction and overflow take part.
    LimiterTable table(OptionsOf("1000/s", 10, 16, algorithm), At(0));
    std::atomic<int64_t> clock{At(0).nanos()};
    std::array<std::atomic<int64_t>, kKeys> kept{};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Random random(static_cast<uint64_t>(t) + 1);
        for (int i = 0; i < kRounds; ++i) {
          // Each thread moves the clock and then uses a reading that is old by the time it counts.
          const MonoTime now = MonoTime::FromNanos(clock.fetch_add(
              static_cast<int64_t>(random.Below(20'000)), std::memory_order_relaxed));
          const uint64_t number = random.Below(kKeys);
          const Decision decision = table.Acquire(Key(number), 1, now);
          if (!decision.admitted) continue;
          kept[number].fetch_add(1, std::memory_order_relaxed);
          if (random.Below(8) == 0) {
            table.Refund(decision.receipt, now);
            kept[number].fetch_sub(1, std::memory_order_relaxed);
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const int64_t elapsed_nanos = clock.load() - At(0).nanos();
    int64_t total = 0;
    for (const auto& count : kept) {
      EXPECT_LE(count.load(), 10 + elapsed_nanos / 1'000'000 + 1);
      total += count.load();
    }
    EXPECT_GT(total, 10);
    EXPECT_GT(table.stats().overflowed, 0u);
  }
}

}  // namespace
}  // namespace outrigger::rate_limit
