#include "proxy/http2/session_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace outrigger::http2 {
namespace {

TEST(SessionMemory, KeepsContentsAndCountsBytes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  MemoryBudget budget(1 << 30);
  {
    SessionMemory memory(budget);
    nghttp2_mem* mem = memory.allocator();
    struct Held {
      void* block;
      std::string content;
    };
    std::vector<Held> held;
    size_t total = 0;
    for (int i = 0; i < 5000; ++i) {
      const size_t bytes = 1 + random() % 20000;
      const std::string content(bytes, static_cast<char>(random()));
      const size_t at = held.empty() ? 0 : random() % held.size();
      switch (held.size() < 20 ? 0 : random() % 3) {
        case 0: {
          void* block = mem->malloc(bytes, mem->mem_user_data);
          std::memcpy(block, content.data(), bytes);
          held.push_back({block, content});
          total += bytes;
          break;
        }
        case 1: {
          void* block = mem->realloc(held[at].block, bytes, mem->mem_user_data);
          const size_t kept = std::min(bytes, held[at].content.size());
          ASSERT_EQ(std::memcmp(block, held[at].content.data(), kept), 0);
          std::memcpy(block, content.data(), bytes);
          total += bytes - held[at].content.size();
          held[at] = {block, content};
          break;
        }
        case 2:
          ASSERT_EQ(std::memcmp(held[at].block, held[at].content.data(), held[at].content.size()),
                    0);
          total -= held[at].content.size();
          mem->free(held[at].block, mem->mem_user_data);
          held.erase(held.begin() + static_cast<long>(at));
          break;
      }
      ASSERT_EQ(memory.allocated_bytes(), total);
      memory.Settle();
      ASSERT_GE(budget.used_bytes(), total);
      ASSERT_LE(budget.used_bytes(), total + 3 * 4096);
    }
    for (const Held& each : held) mem->free(each.block, mem->mem_user_data);
    void* zeroed = mem->calloc(10, 10, mem->mem_user_data);
    EXPECT_EQ(std::string(static_cast<char*>(zeroed), 100), std::string(100, '\0'));
    mem->free(zeroed, mem->mem_user_data);
    mem->free(nullptr, mem->mem_user_data);
    EXPECT_EQ(memory.allocated_bytes(), 0u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

}  // namespace
}  // namespace outrigger::http2
