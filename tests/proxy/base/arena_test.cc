#include "proxy/base/arena.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "proxy/base/pooled.h"
#include "proxy/base/random.h"

namespace outrigger {
namespace {

TEST(Arena, ReservesNothingBeforeItIsUsed) {
  Arena arena;
  EXPECT_EQ(arena.reserved_bytes(), 0u);
  EXPECT_EQ(arena.Copy(""), "");
  EXPECT_EQ(arena.reserved_bytes(), 0u);
}

TEST(Arena, CopiesAreIndependentOfTheirSource) {
  Arena arena;
  std::string source = "content-type";
  const std::string_view copy = arena.Copy(source);
  source.assign(source.size(), 'x');
  EXPECT_EQ(copy, "content-type");
}

TEST(Arena, JoinsPartsInOrder) {
  Arena arena;
  EXPECT_EQ(arena.Concat("1.1 ", std::string("via"), std::string_view(", 1.1 x")),
            "1.1 via, 1.1 x");
  EXPECT_EQ(arena.Concat("", ""), "");
}

TEST(Arena, KeepsEveryViewAcrossNewBlocks) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Arena arena;
    std::vector<std::pair<std::string, std::string_view>> copies;
    size_t total = 0;
    for (int i = 0; i < 200; ++i) {
      // Now and then one that is larger than a block.
      const size_t size = random.Below(20) == 0 ? random.Below(10'000) : random.Below(200);
      std::string text(size, static_cast<char>('a' + random.Below(26)));
      copies.emplace_back(text, arena.Copy(text));
      total += size;
    }
    for (const auto& [text, copy] : copies) EXPECT_EQ(copy, text);
    EXPECT_GE(arena.reserved_bytes(), total);
  }
}

TEST(Arena, KeepsItsFirstBlockAtReset) {
  Arena arena;
  const char* first = arena.Allocate(10);
  for (int i = 0; i < 10; ++i) arena.Allocate(Arena::kBlockBytes / 2);
  EXPECT_GT(arena.reserved_bytes(), Arena::kBlockBytes);
  arena.Reset();
  EXPECT_EQ(arena.reserved_bytes(), Arena::kBlockBytes);
  EXPECT_EQ(arena.Allocate(10), first);
  EXPECT_EQ(arena.reserved_bytes(), Arena::kBlockBytes);
}

TEST(Arena, GivesBackALargeFirstBlockAtReset) {
  Arena arena;
  arena.Allocate(Arena::kBlockBytes * 4);
  arena.Reset();
  EXPECT_EQ(arena.reserved_bytes(), 0u);
  EXPECT_EQ(arena.Copy("again"), "again");
}

TEST(Arena, ReturnsEveryBlock) {
  const long before = LivePooledBlocks();
  {
    Arena arena;
    for (size_t size : {size_t{1}, size_t{3000}, size_t{2000}, size_t{100'000}}) {
      arena.Allocate(size);
    }
  }
  EXPECT_EQ(LivePooledBlocks(), before);
}

}  // namespace
}  // namespace outrigger
