#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/coro/task.h"
#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

class TestTimer final : public Timer {
 public:
  TestTimer(Loop& loop, std::function<void()> on_timer)
      : Timer(loop), on_timer_(std::move(on_timer)) {}

 private:
  void OnTimer() override { on_timer_(); }

  std::function<void()> on_timer_;
};

class TimerTest : public testing::Test {
 protected:
  std::unique_ptr<TestTimer> Make(int number) {
    return std::make_unique<TestTimer>(loop_, [this, number] { fired_.push_back(number); });
  }

  FakeLoop loop_;
  const MonoTime start_ = loop_.Now();
  std::vector<int> fired_;
};

TEST_F(TimerTest, FiresOnceInOrderOfTime) {
  auto a = Make(1), b = Make(2), c = Make(3);
  b->Arm(start_ + absl::Seconds(2));
  c->Arm(start_ + absl::Seconds(3));
  a->Arm(start_ + absl::Seconds(1));
  loop_.Advance(absl::Milliseconds(999));
  EXPECT_TRUE(fired_.empty());
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(fired_, std::vector<int>{1});
  EXPECT_FALSE(a->is_armed());
  loop_.Advance(absl::Seconds(10));
  EXPECT_EQ(fired_, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(loop_.armed_timers(), 0u);
}

TEST_F(TimerTest, FiresAtOnceWhenItsTimeHasPassed) {
  auto timer = Make(1);
  timer->Arm(start_ + absl::Seconds(-1));
  loop_.Advance(absl::ZeroDuration());
  EXPECT_EQ(fired_, std::vector<int>{1});
}

TEST_F(TimerTest, IsMovedByArmingAgain) {
  auto timer = Make(1);
  timer->Arm(start_ + absl::Seconds(1));
  timer->Arm(start_ + absl::Seconds(5));
  EXPECT_EQ(loop_.armed_timers(), 1u);
  loop_.Advance(absl::Seconds(4));
  EXPECT_TRUE(fired_.empty());
  timer->Arm(loop_.Now() + absl::Milliseconds(1));
  loop_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(fired_, std::vector<int>{1});
}

TEST_F(TimerTest, NeverFiresWhenDisarmedOrInfinite) {
  auto a = Make(1), b = Make(2);
  a->Arm(start_ + absl::Seconds(1));
  a->Disarm();
  a->Disarm();
  b->Arm(start_ + absl::Seconds(1));
  b->Arm(MonoTime::Infinite());
  EXPECT_FALSE(b->is_armed());
  loop_.Advance(absl::Hours(1));
  EXPECT_TRUE(fired_.empty());
}

TEST_F(TimerTest, MayArmItselfAgain) {
  std::unique_ptr<TestTimer> timer;
  timer = std::make_unique<TestTimer>(loop_, [this, &timer] {
    fired_.push_back(1);
    if (fired_.size() < 3) timer->Arm(loop_.Now() + absl::Seconds(1));
  });
  timer->Arm(start_ + absl::Seconds(1));
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(fired_.size(), 2u);
  loop_.Advance(absl::Seconds(8));
  EXPECT_EQ(fired_.size(), 3u);
}

TEST_F(TimerTest, MayDestroyItselfAndOthersThatAreDue) {
  std::unique_ptr<TestTimer> first, second, third;
  third = Make(3);
  second = Make(2);
  first = std::make_unique<TestTimer>(loop_, [this, &first, &second] {
    fired_.push_back(1);
    second.reset();
    first.reset();
  });
  first->Arm(start_ + absl::Seconds(1));
  second->Arm(start_ + absl::Seconds(2));
  third->Arm(start_ + absl::Seconds(3));
  // All three are due in one turn.
  loop_.Advance(absl::Seconds(3));
  EXPECT_EQ(fired_, (std::vector<int>{1, 3}));
}

TEST_F(TimerTest, MayDisarmAnotherThatIsDueAtTheSameTime) {
  auto other = Make(2);
  TestTimer first(loop_, [this, &other] {
    fired_.push_back(1);
    other->Disarm();
  });
  first.Arm(start_ + absl::Seconds(1));
  other->Arm(start_ + absl::Seconds(1) + absl::Nanoseconds(1));
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(fired_, std::vector<int>{1});
}

TEST_F(TimerTest, EqualsASortedModelUnderRandomOperations) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    fired_.clear();
    std::vector<std::unique_ptr<TestTimer>> timers;
    for (int i = 0; i < 30; ++i) timers.push_back(Make(i));
    std::map<int, MonoTime> model;
    for (int step = 0; step < 2000; ++step) {
      const int index = static_cast<int>(random.Below(timers.size()));
      switch (random.Below(4)) {
        case 0:
          timers[static_cast<size_t>(index)]->Disarm();
          model.erase(index);
          break;
        case 1: {
          fired_.clear();
          loop_.Advance(absl::Microseconds(static_cast<int64_t>(random.Below(50'000))));
          std::multimap<MonoTime, int> due;
          for (const auto& [number, when] : model) {
            if (when <= loop_.Now()) due.emplace(when, number);
          }
          ASSERT_EQ(fired_.size(), due.size());
          for (int number : fired_) {
            // In order of time; of those at the same time in any order.
            ASSERT_EQ(model.at(number), due.begin()->first) << "step " << step;
            due.erase(due.begin());
            model.erase(number);
          }
          break;
        }
        default: {
          const MonoTime when =
              loop_.Now() + absl::Milliseconds(static_cast<int64_t>(random.Below(200)));
          timers[static_cast<size_t>(index)]->Arm(when);
          model[index] = when;
        }
      }
      ASSERT_EQ(loop_.armed_timers(), model.size());
    }
  }
}

Task<void> SleepThrice(Loop& loop, std::vector<MonoTime>& wakes, absl::Duration duration) {
  for (int i = 0; i < 3; ++i) {
    co_await loop.Sleep(duration);
    wakes.push_back(loop.Now());
  }
}

TEST(Sleep, LastsAsLongAsAsked) {
  FakeLoop loop;
  const MonoTime start = loop.Now();
  std::vector<MonoTime> wakes;
  Task<void> task = SleepThrice(loop, wakes, absl::Milliseconds(25));
  task.Start();
  loop.Advance(absl::Seconds(1));
  EXPECT_EQ(wakes,
            (std::vector<MonoTime>{start + absl::Milliseconds(25), start + absl::Milliseconds(50),
                                   start + absl::Milliseconds(75)}));
}

TEST(Sleep, DoesNotWaitForNothing) {
  FakeLoop loop;
  for (absl::Duration duration : {absl::ZeroDuration(), absl::Seconds(-1)}) {
    std::vector<MonoTime> wakes;
    Task<void> task = SleepThrice(loop, wakes, duration);
    task.Start();
    EXPECT_TRUE(task.is_done());
  }
}

TEST(Sleep, LeavesNoTimerWhenItsFrameIsDestroyed) {
  FakeLoop loop;
  std::vector<MonoTime> wakes;
  Task<void> task = SleepThrice(loop, wakes, absl::Seconds(1));
  task.Start();
  EXPECT_EQ(loop.armed_timers(), 1u);
  task.Reset();
  EXPECT_EQ(loop.armed_timers(), 0u);
  loop.Advance(absl::Seconds(5));
  EXPECT_TRUE(wakes.empty());
}

TEST(Sleep, ForEverNeverEnds) {
  FakeLoop loop;
  std::vector<MonoTime> wakes;
  Task<void> task = SleepThrice(loop, wakes, absl::InfiniteDuration());
  task.Start();
  loop.Advance(absl::Hours(1000));
  EXPECT_FALSE(task.is_done());
  EXPECT_TRUE(wakes.empty());
}

TEST_F(TimerTest, ArmedForNowByItsOwnCallbackItComesInTheNextTurn) {
  int fired = 0;
  TestTimer* self = nullptr;
  TestTimer timer(loop_, [&] {
    ++fired;
    if (fired < 1000) self->Arm(loop_.Now());
  });
  self = &timer;
  auto other = Make(1);
  timer.Arm(start_);
  other->Arm(start_);
  loop_.Advance(absl::ZeroDuration());
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(fired_, std::vector<int>{1});
  EXPECT_TRUE(timer.is_armed());
  loop_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(fired, 2);
  timer.Disarm();
  EXPECT_EQ(loop_.armed_timers(), 0u);
}

}  // namespace
}  // namespace outrigger
