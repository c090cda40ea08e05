#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/net/buffer_pool.h"
#include "proxy/net/read_buffer.h"

namespace outrigger::net {
namespace {

TEST(BufferPool, HasASizeForMessagesThatGrowsWithThem) {
  EXPECT_EQ(BufferPool::SizeFor(BufferPool::kTinyBytes), BlockSize::kTiny);
  EXPECT_EQ(BufferPool::SizeFor(BufferPool::kTinyBytes + 1), BlockSize::kSmall);
  EXPECT_EQ(BufferPool::SizeFor(BufferPool::kSmallBytes + 1), BlockSize::kLarge);
  MemoryBudget budget(1 << 20);
  BufferPool pool(budget);
  {
    ReadBuffer buffer;
    buffer.Prepare(pool, BufferPool::SizeFor(5));
    EXPECT_EQ(budget.used_bytes(), BufferPool::kTinyBytes);
    std::memcpy(buffer.room_begin(), "hello", 5);
    buffer.Commit(5);
    buffer.Grow(pool, BufferPool::SizeFor(5000));
    EXPECT_EQ(buffer.view(), "hello");
    EXPECT_GE(buffer.room(), 4995u);
  }
  EXPECT_EQ(pool.lent_blocks(), 0u);
}

TEST(BufferPool, HandsOutTheWarmBlockAgain) {
  MemoryBudget budget(1 << 30);
  BufferPool pool(budget);
  Block a = pool.Take(BlockSize::kSmall);
  Block b = pool.Take(BlockSize::kSmall);
  EXPECT_EQ(a.size(), BufferPool::kSmallBytes);
  const char* data = b.data();
  a.Clear();
  b.Clear();
  EXPECT_TRUE(b.is_empty());
  EXPECT_EQ(b.size(), 0u);
  EXPECT_EQ(pool.Take(BlockSize::kSmall).data(), data);
  EXPECT_EQ(pool.lent_blocks(), 0u);
}

TEST(BufferPool, ChargesWhatItHoldsAndLetsABurstDecay) {
  MemoryBudget budget(1 << 30);
  {
    BufferPool pool(budget);
    std::vector<Block> blocks;
    for (int i = 0; i < 1000; ++i) {
      blocks.push_back(pool.Take(i % 2 == 0 ? BlockSize::kSmall : BlockSize::kLarge));
    }
    EXPECT_EQ(budget.used_bytes(), 500 * (BufferPool::kSmallBytes + BufferPool::kLargeBytes));
    EXPECT_EQ(pool.lent_blocks(), 1000u);
    blocks.clear();
    EXPECT_EQ(pool.lent_blocks(), 0u);
    EXPECT_LE(budget.used_bytes(), size_t{4} << 20);
    EXPECT_GT(budget.used_bytes(), 0u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(BufferPool, ABlockIsReturnedOnceWhenMoved) {
  MemoryBudget budget(1 << 30);
  BufferPool pool(budget);
  Block a = pool.Take(BlockSize::kLarge);
  Block b = std::move(a);
  EXPECT_TRUE(a.is_empty());  // NOLINT: that is what is tested
  Block c = pool.Take(BlockSize::kSmall);
  c = std::move(b);
  EXPECT_EQ(c.size(), BufferPool::kLargeBytes);
  EXPECT_EQ(pool.lent_blocks(), 1u);
  c = {};
  EXPECT_EQ(pool.lent_blocks(), 0u);
}

TEST(ReadBuffer, GivesItsBlockBackWhenEverythingIsConsumed) {
  MemoryBudget budget(1 << 30);
  BufferPool pool(budget);
  ReadBuffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_FALSE(buffer.is_full());
  buffer.Prepare(pool, BlockSize::kSmall);
  std::memcpy(buffer.room_begin(), "hello", 5);
  buffer.Commit(5);
  buffer.Consume(2);
  EXPECT_EQ(buffer.view(), "llo");
  EXPECT_EQ(pool.lent_blocks(), 1u);
  buffer.Consume(3);
  EXPECT_FALSE(buffer.has_block());
  EXPECT_EQ(pool.lent_blocks(), 0u);
}

TEST(ReadBuffer, EqualsAStringUnderRandomOperations) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    MemoryBudget budget(1 << 30);
    BufferPool pool(budget);
    ReadBuffer buffer;
    std::string model;
    char next = 'a';
    for (int step = 0; step < 2000; ++step) {
      if (buffer.is_full() && buffer.capacity() == BufferPool::kSmallBytes) {
        buffer.Grow(pool);
        EXPECT_GT(buffer.room(), 0u);
      } else if (random.Below(2) == 0 && !buffer.is_full()) {
        buffer.Prepare(pool, BlockSize::kSmall);
        ASSERT_GT(buffer.room(), 0u);
        const size_t size = std::min(buffer.room(), 1 + random.Below(6000));
        std::memset(buffer.room_begin(), next, size);
        buffer.Commit(size);
        model.append(size, next);
        next = next == 'z' ? 'a' : static_cast<char>(next + 1);
      } else if (random.Below(20) == 0) {
        ReadBuffer moved = std::move(buffer);
        EXPECT_TRUE(buffer.empty());  // NOLINT: that is what is tested
        buffer = std::move(moved);
      } else {
        const size_t size = random.Below(model.size() + 1);
        buffer.Consume(size);
        model.erase(0, size);
      }
      ASSERT_EQ(buffer.view(), model) << "step " << step;
      ASSERT_EQ(buffer.has_block(), !model.empty());
    }
  }
}

}  // namespace
}  // namespace outrigger::net
