#include "filters/breaker/throttle_gate.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace outrigger::breaker {
namespace {

MonoTime At(double seconds) { return MonoTime::FromNanos(static_cast<int64_t>(seconds * 1e9)); }

TEST(ThrottleGate, HoldsOneScopeBackAndNoOther) {
  ThrottleGate gate;
  EXPECT_EQ(gate.Wait(1, At(0)), absl::ZeroDuration());
  gate.Hold(1, absl::Seconds(3), At(0));
  EXPECT_EQ(gate.Wait(1, At(1)), absl::Seconds(2));
  EXPECT_EQ(gate.Wait(2, At(1)), absl::ZeroDuration());
  EXPECT_EQ(gate.Wait(1, At(3)), absl::ZeroDuration());
  EXPECT_EQ(gate.size(), 0u);
}

TEST(ThrottleGate, HoldsThirtySecondsAtMost) {
  ThrottleGate gate;
  gate.Hold(1, absl::Hours(1), At(0));
  EXPECT_EQ(gate.Wait(1, At(0)), absl::Seconds(30));
  gate.Hold(2, absl::InfiniteDuration(), At(0));
  EXPECT_EQ(gate.Wait(2, At(0)), absl::Seconds(30));
  gate.Hold(3, absl::ZeroDuration(), At(0));
  gate.Hold(4, absl::Seconds(-5), At(0));
  EXPECT_EQ(gate.size(), 2u);
}

TEST(ThrottleGate, ExtendsAndNeverShortens) {
  ThrottleGate gate;
  gate.Hold(1, absl::Seconds(10), At(0));
  gate.Hold(1, absl::Seconds(1), At(0));
  EXPECT_EQ(gate.Wait(1, At(0)), absl::Seconds(10));
  gate.Hold(1, absl::Seconds(10), At(5));
  EXPECT_EQ(gate.Wait(1, At(5)), absl::Seconds(10));
}

TEST(ThrottleGate, WhenFullHoldsNoFurtherScopeUntilOneIsOver) {
  ThrottleGate gate(2);
  gate.Hold(1, absl::Seconds(1), At(0));
  gate.Hold(2, absl::Seconds(5), At(0));
  gate.Hold(3, absl::Seconds(5), At(0));
  EXPECT_EQ(gate.Wait(3, At(0)), absl::ZeroDuration());
  EXPECT_EQ(gate.Wait(2, At(0)), absl::Seconds(5));
  gate.Hold(3, absl::Seconds(5), At(1));
  EXPECT_EQ(gate.Wait(3, At(1)), absl::Seconds(5));
  EXPECT_EQ(gate.Wait(2, At(1)), absl::Seconds(4));
  EXPECT_EQ(gate.size(), 2u);
}

TEST(ThrottleGate, MayBeAskedByAllWorkers) {
  ThrottleGate gate(64);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&gate, t] {
      for (uint64_t i = 0; i < 10'000; ++i) {
        const MonoTime now = At(0.001 * static_cast<double>(i));
        gate.Hold((i * 7 + t) % 100, absl::Milliseconds(20), now);
        gate.Wait(i % 100, now);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(gate.size(), 64u);
}

}  // namespace
}  // namespace outrigger::breaker
