#include "proxy/base/pooled.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger {
namespace {

#ifndef NDEBUG

struct Base : Pooled {
  virtual ~Base() = default;
};

struct Derived : Base {
  char more[500];
};

TEST(Pooled, CountsBlocksThatAreHandedOut) {
  const long before = LivePooledBlocks();
  std::unique_ptr<Base> object = std::make_unique<Derived>();
  EXPECT_EQ(LivePooledBlocks(), before + 1);
  object.reset();
  EXPECT_EQ(LivePooledBlocks(), before);
}

TEST(Pooled, CountsBlocksFreedByAnotherThread) {
  const long before = LivePooledBlocks();
  std::unique_ptr<Base> object = std::make_unique<Derived>();
  std::thread([&object] { object.reset(); }).join();
  EXPECT_EQ(LivePooledBlocks(), before);
}

#endif

TEST(Pooled, BlocksInUseNeverOverlap) {
  struct Held {
    unsigned char* data;
    size_t size;
    unsigned char fill;
  };
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::vector<Held> held;
    const auto free_at = [&held](size_t index) {
      const Held block = held[index];
      for (size_t i = 0; i < block.size; ++i) ASSERT_EQ(block.data[i], block.fill);
      PooledFree(block.data, block.size);
      held.erase(held.begin() + static_cast<long>(index));
    };
    for (int step = 0; step < 3000; ++step) {
      if (!held.empty() && random.Below(2) == 0) {
        free_at(random.Below(held.size()));
      } else {
        // Around the bounds of size classes, and beyond the largest.
        const size_t size = 1 + random.Below(random.Below(10) == 0 ? 10'000 : 300);
        const auto fill = static_cast<unsigned char>(step);
        auto* data = static_cast<unsigned char*>(PooledAllocate(size));
        std::memset(data, fill, size);
        held.push_back({data, size, fill});
      }
    }
    while (!held.empty()) free_at(held.size() - 1);
  }
}

TEST(Pooled, ServesStandardContainers) {
  std::vector<int, PooledAllocator<int>> numbers;
  for (int i = 0; i < 10'000; ++i) numbers.push_back(i);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(numbers[static_cast<size_t>(i)], i);
}

}  // namespace
}  // namespace outrigger
