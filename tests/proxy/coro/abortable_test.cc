#include "proxy/coro/abortable.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/pooled.h"
#include "proxy/event/deadline_queue.h"
#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

struct Note {
  Note(std::vector<std::string>& list, std::string what) : notes(list), text(std::move(what)) {}
  ~Note() { notes.push_back(text); }

  std::vector<std::string>& notes;
  std::string text;
};

Task<int> AfterASecond(Loop& loop, std::vector<std::string>& notes, int number) {
  const Note note(notes, "attempt");
  co_await loop.Sleep(absl::Seconds(1));
  co_return number;
}

Task<int> Ready(int number) { co_return number; }

class AbortableTest : public testing::Test {
 protected:
  // Awaits `abortable` and keeps what it gave.
  Task<void> Await(Abortable<int>& abortable) {
    const std::optional<int> value = co_await abortable;
    notes_.push_back("resumed");
    result_ = value;
    is_resumed_ = true;
  }

  FakeLoop loop_;
  std::vector<std::string> notes_;
  std::optional<int> result_;
  bool is_resumed_ = false;
};

TEST_F(AbortableTest, GivesTheValueOfATaskThatIsReady) {
  Abortable<int> abortable(Ready(3));
  Task<void> task = Await(abortable);
  task.Start();
  EXPECT_TRUE(task.is_done());
  EXPECT_EQ(result_, 3);
}

TEST_F(AbortableTest, GivesTheValueOfATaskThatWaited) {
  Abortable<int> abortable(AfterASecond(loop_, notes_, 3));
  Task<void> task = Await(abortable);
  task.Start();
  EXPECT_FALSE(is_resumed_);
  loop_.Advance(absl::Seconds(1));
  EXPECT_TRUE(task.is_done());
  EXPECT_EQ(result_, 3);
}

TEST_F(AbortableTest, NeverStartsATaskThatWasAbortedBefore) {
  Abortable<int> abortable(AfterASecond(loop_, notes_, 3));
  abortable.Abort();
  Task<void> task = Await(abortable);
  task.Start();
  EXPECT_TRUE(task.is_done());
  EXPECT_EQ(result_, std::nullopt);
  EXPECT_EQ(notes_, std::vector<std::string>{"resumed"});
}

TEST_F(AbortableTest, DestroysAWaitingTaskBeforeItResumes) {
  Abortable<int> abortable(AfterASecond(loop_, notes_, 3));
  Task<void> task = Await(abortable);
  task.Start();
  abortable.Abort();
  EXPECT_TRUE(task.is_done());
  EXPECT_EQ(result_, std::nullopt);
  EXPECT_EQ(notes_, (std::vector<std::string>{"attempt", "resumed"}));
  EXPECT_EQ(loop_.armed_timers(), 0u);
  abortable.Abort();
  EXPECT_EQ(notes_.size(), 2u);
}

TEST_F(AbortableTest, IgnoresAnAbortAfterTheEnd) {
  Abortable<int> abortable(AfterASecond(loop_, notes_, 3));
  Task<void> task = Await(abortable);
  task.Start();
  loop_.Advance(absl::Seconds(1));
  abortable.Abort();
  EXPECT_EQ(result_, 3);
  Abortable<int> ready(Ready(4));
  Task<void> second = Await(ready);
  second.Start();
  ready.Abort();
  EXPECT_EQ(result_, 4);
}

TEST_F(AbortableTest, GoesAwayWithTheFrameThatWaitsForIt) {
  const long frames = LivePooledBlocks();
  {
    Abortable<int> abortable(AfterASecond(loop_, notes_, 3));
    Task<void> task = Await(abortable);
    task.Start();
  }
  EXPECT_FALSE(is_resumed_);
  EXPECT_EQ(loop_.armed_timers(), 0u);
  EXPECT_EQ(LivePooledBlocks(), frames);
}

// As a destructor of the attempt may do, which does not know that it is being aborted.
TEST_F(AbortableTest, MayBeAbortedAgainWhileItsTaskIsDestroyed) {
  std::optional<Abortable<int>> abortable;
  struct AbortsAgain {
    std::optional<Abortable<int>>& abortable;
    ~AbortsAgain() { abortable->Abort(); }
  };
  const auto attempt = [](Loop& loop, std::optional<Abortable<int>>& self) -> Task<int> {
    const AbortsAgain again(self);
    co_await loop.Sleep(absl::Seconds(1));
    co_return 1;
  };
  abortable.emplace(attempt(loop_, abortable));
  Task<void> task = Await(*abortable);
  task.Start();
  abortable->Abort();
  EXPECT_EQ(notes_, std::vector<std::string>{"resumed"});
  EXPECT_EQ(result_, std::nullopt);
}

// The shape of the timeout filter and of a connect: everything that the callback of the deadline
// runs in lives in the frame that it lets finish.
Task<int> WithDeadline(Loop& loop, DeadlineQueue& queue, std::vector<std::string>& notes) {
  Abortable<int> attempt(AfterASecond(loop, notes, 3));
  const std::string reason(100, 'r');  // makes the callback allocate
  DeadlineEntry deadline([&attempt, &notes, reason] {
    notes.push_back(reason.substr(0, 1));
    attempt.Abort();
  });
  queue.Arm(deadline);
  const std::optional<int> value = co_await attempt;
  co_return value.value_or(-1);
}

TEST_F(AbortableTest, IsAbortedByADeadline) {
  DeadlineQueue queue(loop_, absl::Milliseconds(10));
  Task<int> task = WithDeadline(loop_, queue, notes_);
  task.Start();
  loop_.Advance(absl::Milliseconds(9));
  EXPECT_FALSE(task.is_done());
  loop_.Advance(absl::Milliseconds(1));
  ASSERT_TRUE(task.is_done());
  EXPECT_EQ(task.TakeValue(), -1);
  EXPECT_TRUE(queue.empty());
}

Task<int> TwiceWithDeadline(Loop& loop, DeadlineQueue& queue, std::vector<std::string>& notes) {
  const int first = co_await WithDeadline(loop, queue, notes);
  const int second = co_await WithDeadline(loop, queue, notes);
  co_return first + second;
}

TEST_F(AbortableTest, DestroysTheFrameOfTheDeadlineThatAbortedIt) {
  DeadlineQueue queue(loop_, absl::Milliseconds(10));
  Task<int> task = TwiceWithDeadline(loop_, queue, notes_);
  task.Start();
  loop_.Advance(absl::Milliseconds(10));
  EXPECT_FALSE(task.is_done());
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(task.is_done());
  EXPECT_EQ(task.TakeValue(), -2);
  EXPECT_TRUE(queue.empty());
}

// The outer deadline passes while the inner one still runs, and the other way round.
Task<int> Nested(Loop& loop, DeadlineQueue& outer, DeadlineQueue& inner,
                 std::vector<std::string>& notes) {
  Abortable<int> attempt(WithDeadline(loop, inner, notes));
  DeadlineEntry deadline([&attempt] { attempt.Abort(); });
  outer.Arm(deadline);
  const std::optional<int> value = co_await attempt;
  co_return value.value_or(-100);
}

TEST_F(AbortableTest, NestsWithEitherDeadlineFirst) {
  DeadlineQueue short_queue(loop_, absl::Milliseconds(10));
  DeadlineQueue long_queue(loop_, absl::Milliseconds(20));
  Task<int> outer_first = Nested(loop_, short_queue, long_queue, notes_);
  outer_first.Start();
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(outer_first.is_done());
  EXPECT_EQ(outer_first.TakeValue(), -100);
  Task<int> inner_first = Nested(loop_, long_queue, short_queue, notes_);
  inner_first.Start();
  loop_.Advance(absl::Milliseconds(10));
  ASSERT_TRUE(inner_first.is_done());
  EXPECT_EQ(inner_first.TakeValue(), -1);
  EXPECT_TRUE(short_queue.empty());
  EXPECT_TRUE(long_queue.empty());
}

}  // namespace
}  // namespace outrigger
