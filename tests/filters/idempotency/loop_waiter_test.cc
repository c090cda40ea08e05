#include "filters/idempotency/loop_waiter.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "tests/support/fake_loop.h"

namespace outrigger::idempotency {
namespace {

class Counting final : public LoopWaiter {
 public:
  Counting(Loop& loop, int& wakes) : LoopWaiter(loop), wakes_(wakes) {}

 private:
  void OnWake() override { ++wakes_; }
  int& wakes_;
};

void WakeFromAnotherThread(LoopWaiter& waiter) {
  std::thread([&waiter] { waiter.Wake(); }).join();
}

TEST(LoopWaiter, RunsLaterOnItsLoopNeverInsideTheWake) {
  FakeLoop loop;
  int wakes = 0;
  Counting waiter(loop, wakes);
  waiter.Wake();
  EXPECT_EQ(wakes, 0);
  loop.RunPending();
  EXPECT_EQ(wakes, 1);
  WakeFromAnotherThread(waiter);
  EXPECT_EQ(wakes, 1);
  loop.RunPending();
  EXPECT_EQ(wakes, 2);
}

TEST(LoopWaiter, DropsWakesThatComeWhenItIsGone) {
  FakeLoop loop;
  int wakes = 0;
  auto waiter = std::make_unique<Counting>(loop, wakes);
  waiter->Wake();
  WakeFromAnotherThread(*waiter);
  waiter.reset();
  loop.RunPending();
  EXPECT_EQ(wakes, 0);
}

}  // namespace
}  // namespace outrigger::idempotency
