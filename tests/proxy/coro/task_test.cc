#include "proxy/coro/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/base/pooled.h"
#include "proxy/event/signal.h"
#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

// Notes its destruction.
struct Note {
  Note(std::vector<std::string>& list, std::string what) : notes(list), text(std::move(what)) {}
  ~Note() { notes.push_back(text); }

  std::vector<std::string>& notes;
  std::string text;
};

Task<int> Ready(int number) { co_return number; }

Task<int> AfterASecond(Loop& loop, int number) {
  co_await loop.Sleep(absl::Seconds(1));
  co_return number;
}

Task<void> Store(Loop& loop, int& out, int number) {
  const int stored = co_await AfterASecond(loop, number);
  out = stored;
}

TEST(Task, DoesNotStartByItself) {
  bool is_started = false;
  const auto make = [](bool& started) -> Task<void> {
    started = true;
    co_return;
  };
  Task<void> task = make(is_started);
  EXPECT_FALSE(is_started);
  task.Start();
  EXPECT_TRUE(is_started);
  EXPECT_TRUE(task.is_done());
}

TEST(Task, IsDestroyedWithoutHavingStarted) {
  const long frames = LivePooledBlocks();
  { const Task<int> task = Ready(1); }
  EXPECT_EQ(LivePooledBlocks(), frames);
}

TEST(Task, GivesItsValueAtOnceWhenNothingWaits) {
  Task<int> task = Ready(5);
  task.Start();
  ASSERT_TRUE(task.is_done());
  EXPECT_EQ(task.TakeValue(), 5);
}

TEST(Task, GivesValuesThatCanOnlyBeMoved) {
  const auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
  Task<std::unique_ptr<int>> task = make();
  task.Start();
  EXPECT_EQ(*task.TakeValue(), 3);
}

TEST(Task, ContinuesItsParentAfterAWait) {
  FakeLoop loop;
  int out = 0;
  Task<void> task = Store(loop, out, 9);
  task.Start();
  EXPECT_FALSE(task.is_done());
  EXPECT_EQ(out, 0);
  loop.Advance(absl::Milliseconds(999));
  EXPECT_EQ(out, 0);
  loop.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(task.is_done());
  EXPECT_EQ(out, 9);
}

TEST(Task, IsEmptyAfterItWasMovedFrom) {
  FakeLoop loop;
  int out = 0;
  Task<void> task = Store(loop, out, 9);
  task.Start();
  Task<void> other = std::move(task);
  EXPECT_TRUE(task.is_empty());  // NOLINT: that is what is tested
  loop.Advance(absl::Seconds(1));
  EXPECT_TRUE(other.is_done());
  EXPECT_EQ(out, 9);
}

TEST(Task, AssignmentCancelsTheTaskThatWasThere) {
  FakeLoop loop;
  int first = 0;
  int second = 0;
  Task<void> task = Store(loop, first, 1);
  task.Start();
  task = Store(loop, second, 2);
  EXPECT_EQ(loop.armed_timers(), 0u);
  task.Start();
  loop.Advance(absl::Seconds(1));
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 2);
}

Task<void> Level(Loop& loop, std::vector<std::string>& notes, int depth) {
  const Note outer(notes, "outer " + std::to_string(depth));
  const Note inner(notes, "inner " + std::to_string(depth));
  if (depth > 0) {
    co_await Level(loop, notes, depth - 1);
  } else {
    co_await loop.Sleep(absl::Seconds(1));
  }
}

TEST(Task, UnwindsTheInnermostFrameFirst) {
  FakeLoop loop;
  const long frames = LivePooledBlocks();
  std::vector<std::string> notes;
  Task<void> task = Level(loop, notes, 2);
  task.Start();
  EXPECT_EQ(loop.armed_timers(), 1u);
  task.Reset();
  EXPECT_EQ(notes, (std::vector<std::string>{"inner 0", "outer 0", "inner 1", "outer 1", "inner 2",
                                             "outer 2"}));
  EXPECT_EQ(loop.armed_timers(), 0u);
  EXPECT_EQ(LivePooledBlocks(), frames);
}

// Children that are ready, through several levels: no frame of the stack may stay behind.
Task<int> ReadyThrough(int depth, int number) {
  if (depth == 0) co_return number;
  co_return co_await ReadyThrough(depth - 1, number);
}

Task<long> SumOfReadyChildren(int count) {
  long sum = 0;
  for (int i = 0; i < count; ++i) {
    const int number = co_await ReadyThrough(2, 1);
    sum += number;
  }
  co_return sum;
}

TEST(Task, AwaitsAMillionReadyChildrenWithoutUsingTheStack) {
  constexpr int kChildren = 1'000'000;
  Task<long> task = SumOfReadyChildren(kChildren);
  task.Start();
  ASSERT_TRUE(task.is_done());
  EXPECT_EQ(task.TakeValue(), kChildren);
}

Task<long> SumOfWaitingChildren(Loop& loop, int count) {
  long sum = 0;
  for (int i = 0; i < count; ++i) {
    const int number = co_await AfterASecond(loop, 1);
    sum += number;
  }
  co_return sum;
}

TEST(Task, AwaitsManyWaitingChildrenWithoutUsingTheStack) {
  constexpr int kChildren = 100'000;
  FakeLoop loop;
  Task<long> task = SumOfWaitingChildren(loop, kChildren);
  task.Start();
  loop.Advance(absl::Seconds(kChildren));
  ASSERT_TRUE(task.is_done());
  EXPECT_EQ(task.TakeValue(), kChildren);
}

Task<int> Deep(Loop& loop, int depth) {
  if (depth == 0) {
    co_await loop.Sleep(absl::Seconds(1));
    co_return 0;
  }
  const int below = co_await Deep(loop, depth - 1);
  co_return below + 1;
}

TEST(Task, ResumesAndUnwindsAThousandLevels) {
  const long frames = LivePooledBlocks();
  FakeLoop loop;
  Task<int> task = Deep(loop, 1000);
  task.Start();
  loop.Advance(absl::Seconds(1));
  ASSERT_TRUE(task.is_done());
  EXPECT_EQ(task.TakeValue(), 1000);
  task = Deep(loop, 1000);
  task.Start();
  task.Reset();
  EXPECT_EQ(LivePooledBlocks(), frames);
}

TEST(TaskDeathTest, SaysWhatWasThrownAndEndsTheProcess) {
  const auto thrower = []() -> Task<int> {
    throw std::runtime_error("broken invariant");
    co_return 0;
  };
  const auto caller = [](auto& make) -> Task<void> {
    const int number = co_await make();
    (void)number;
  };
  EXPECT_DEATH(
      {
        Task<void> task = caller(thrower);
        task.Start();
      },
      "exception in a coroutine: broken invariant\n.*awaited by");
}

}  // namespace
}  // namespace outrigger
