#include "proxy/log/ring.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "proxy/base/random.h"

namespace outrigger::log {
namespace {

std::string ReadAll(Ring& ring) {
  std::string text;
  for (std::string_view bytes : ring.Readable()) text += bytes;
  ring.Consume(text.size());
  return text;
}

TEST(Ring, ReturnsWhatWasPushedInOrder) {
  Ring ring(16);
  EXPECT_TRUE(ring.is_empty());
  EXPECT_TRUE(ring.TryPush("abc"));
  EXPECT_TRUE(ring.TryPush("defg"));
  EXPECT_EQ(ReadAll(ring), "abcdefg");
  EXPECT_TRUE(ring.is_empty());
}

TEST(Ring, RefusesWholeWhatDoesNotFit) {
  Ring ring(8);
  EXPECT_FALSE(ring.TryPush("123456789"));
  EXPECT_TRUE(ring.TryPush("12345678"));
  EXPECT_FALSE(ring.TryPush("x"));
  EXPECT_EQ(ReadAll(ring), "12345678");
  EXPECT_TRUE(ring.TryPush("x"));
}

TEST(Ring, BehavesLikeAStringOfBoundedSize) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    constexpr size_t kCapacity = 64;
    Ring ring(kCapacity);
    std::string model;
    for (int i = 0; i < 1000; ++i) {
      if (random.Below(2) == 0) {
        const std::string text(random.Below(30), static_cast<char>('a' + random.Below(26)));
        const bool fits = model.size() + text.size() <= kCapacity;
        ASSERT_EQ(ring.TryPush(text), fits);
        if (fits) model += text;
        ASSERT_EQ(ring.is_half_full(), model.size() > kCapacity / 2);
      } else {
        const size_t taken = random.Below(model.size() + 1);
        const auto spans = ring.Readable();
        ASSERT_EQ(std::string(spans[0]) + std::string(spans[1]), model);
        ring.Consume(taken);
        model.erase(0, taken);
      }
    }
  }
}

TEST(Ring, CarriesEveryByteBetweenTwoThreads) {
  constexpr int kLines = 50000;
  Ring ring(1024);
  std::thread producer([&ring] {
    for (int i = 0; i < kLines; ++i) {
      const std::string line = std::to_string(i) + "\n";
      while (!ring.TryPush(line)) std::this_thread::yield();
    }
  });
  std::string received;
  std::string expected;
  for (int i = 0; i < kLines; ++i) expected += std::to_string(i) + "\n";
  while (received.size() < expected.size()) {
    const std::string part = ReadAll(ring);
    received += part;
    if (part.empty()) std::this_thread::yield();
  }
  producer.join();
  EXPECT_TRUE(received == expected);
}

}  // namespace
}  // namespace outrigger::log
