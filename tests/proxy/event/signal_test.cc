#include "proxy/event/signal.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "proxy/coro/task.h"
#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

class SignalTest : public testing::Test {
 protected:
  Task<void> WaitTimes(int times) {
    for (int i = 0; i < times; ++i) {
      co_await signal_.Wait();
      ++wakes_;
    }
  }

  FakeLoop loop_;
  Signal signal_{loop_};
  int wakes_ = 0;
};

TEST_F(SignalTest, KeepsANotificationThatNobodyWaitedFor) {
  signal_.Notify();
  signal_.Notify();
  Task<void> task = WaitTimes(2);
  task.Start();
  EXPECT_EQ(wakes_, 1);  // the two were one
  EXPECT_TRUE(signal_.has_waiter());
}

TEST_F(SignalTest, NeverRunsTheWaiterInsideNotify) {
  Task<void> task = WaitTimes(1);
  task.Start();
  signal_.Notify();
  EXPECT_EQ(wakes_, 0);
  loop_.RunPending();
  EXPECT_EQ(wakes_, 1);
  EXPECT_TRUE(task.is_done());
  EXPECT_FALSE(signal_.has_waiter());
}

TEST_F(SignalTest, RunsTheWaiterAtOnceFromTheLoop) {
  Task<void> task = WaitTimes(2);
  task.Start();
  signal_.NotifyFromLoop();
  EXPECT_EQ(wakes_, 1);
  loop_.RunPending();
  EXPECT_EQ(wakes_, 1);
}

TEST_F(SignalTest, KeepsANotificationFromTheLoopToo) {
  signal_.NotifyFromLoop();
  Task<void> task = WaitTimes(1);
  task.Start();
  EXPECT_TRUE(task.is_done());
}

TEST_F(SignalTest, BothWaysOfNotifyingInOneTurnWakeOnce) {
  Task<void> task = WaitTimes(2);
  task.Start();
  signal_.Notify();
  signal_.NotifyFromLoop();
  loop_.RunPending();
  EXPECT_EQ(wakes_, 1);
}

TEST_F(SignalTest, ForgetsItsWaiterWhenTheFrameIsDestroyed) {
  Task<void> task = WaitTimes(1);
  task.Start();
  task.Reset();
  EXPECT_FALSE(signal_.has_waiter());
  signal_.Notify();
  loop_.RunPending();
  EXPECT_EQ(wakes_, 0);
}

TEST_F(SignalTest, ForgetsItsWaiterBetweenNotifyAndTheEndOfTheTurn) {
  Task<void> task = WaitTimes(1);
  task.Start();
  signal_.Notify();
  task.Reset();
  loop_.RunPending();
  EXPECT_EQ(wakes_, 0);
  // What happened is not forgotten.
  Task<void> next = WaitTimes(1);
  next.Start();
  EXPECT_EQ(wakes_, 1);
}

TEST_F(SignalTest, ClearForgetsANotification) {
  signal_.Notify();
  signal_.Clear();
  Task<void> task = WaitTimes(1);
  task.Start();
  EXPECT_EQ(wakes_, 0);
  signal_.Notify();
  signal_.Clear();
  loop_.RunPending();
  EXPECT_EQ(wakes_, 0);
}

TEST_F(SignalTest, MayBeDestroyedWhileANotificationIsOnItsWay) {
  std::optional<Signal> signal;
  signal.emplace(loop_);
  const auto wait = [](Signal& waited) -> Task<void> { co_await waited.Wait(); };
  Task<void> task = wait(*signal);
  task.Start();
  signal->Notify();
  task.Reset();
  signal.reset();
  loop_.RunPending();
}

TEST_F(SignalTest, AWaiterMayDestroyTheSignalThatWokeIt) {
  std::optional<Signal> signal;
  signal.emplace(loop_);
  const auto wait = [](std::optional<Signal>& waited) -> Task<void> {
    co_await waited->Wait();
    waited.reset();
  };
  Task<void> task = wait(signal);
  task.Start();
  signal->Notify();
  loop_.RunPending();
  EXPECT_TRUE(task.is_done());
}

TEST_F(SignalTest, TwoCoroutinesTalkInOneTurn) {
  Signal ping(loop_);
  Signal pong(loop_);
  std::vector<int> order;
  const auto first = [](Signal& mine, Signal& other, std::vector<int>& out) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      out.push_back(1);
      other.Notify();
      co_await mine.Wait();
    }
  };
  const auto second = [](Signal& mine, Signal& other, std::vector<int>& out) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      co_await mine.Wait();
      out.push_back(2);
      other.Notify();
    }
  };
  Task<void> a = first(ping, pong, order);
  Task<void> b = second(pong, ping, order);
  a.Start();
  b.Start();
  loop_.RunPending();
  EXPECT_TRUE(a.is_done());
  EXPECT_TRUE(b.is_done());
  EXPECT_EQ(order, (std::vector<int>{1, 2, 1, 2, 1, 2}));
}

TEST_F(SignalTest, ATimerEndsAWait) {
  SignalTimer give_up(loop_, signal_);
  give_up.Arm(loop_.Now() + absl::Seconds(1));
  Task<void> task = WaitTimes(1);
  task.Start();
  loop_.Advance(absl::Milliseconds(999));
  EXPECT_FALSE(task.is_done());
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(task.is_done());
}

}  // namespace
}  // namespace outrigger
