#include "proxy/coro/task_scope.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "proxy/event/signal.h"
#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

// Counts the objects of a test that are alive.
class Tracked {
 public:
  explicit Tracked(int& live) : live_(&live) { ++*live_; }
  Tracked(Tracked&& other) noexcept : live_(std::exchange(other.live_, nullptr)) {}
  ~Tracked() {
    if (live_ != nullptr) --*live_;
  }

 private:
  int* live_;
};

Task<void> SleepThenCount(Loop& loop, absl::Duration duration, int& finished, Tracked tracked) {
  const Tracked held = std::move(tracked);
  co_await loop.Sleep(duration);
  ++finished;
}

Task<void> AppendAtEnd(Loop& loop, std::vector<int>& order, int number) {
  struct Note {
    std::vector<int>& order;
    int number;
    ~Note() { order.push_back(number); }
  };
  const Note note{order, number};
  co_await loop.Sleep(absl::Hours(1));
}

Task<void> SpawnAnother(TaskScope& scope, Loop& loop, int& finished, int& live) {
  scope.Spawn(SleepThenCount(loop, absl::Seconds(1), finished, Tracked(live)));
  co_await loop.Sleep(absl::Seconds(2));
  ++finished;
}

TEST(TaskScope, RunsATaskToItsFirstWaitAtOnce) {
  FakeLoop loop;
  TaskScope scope(loop, "test");
  int finished = 0;
  int live = 0;
  scope.Spawn(SleepThenCount(loop, absl::ZeroDuration(), finished, Tracked(live)));
  EXPECT_EQ(finished, 1);
  EXPECT_EQ(scope.count(), 0u);
  EXPECT_EQ(scope.name(), "test");
}

TEST(TaskScope, DestroysATaskThatHasReturnedFromTheLoop) {
  const long blocks = LivePooledBlocks();
  {
    FakeLoop loop;
    TaskScope scope(loop, "test");
    int finished = 0;
    int live = 0;
    scope.Spawn(SleepThenCount(loop, absl::Seconds(1), finished, Tracked(live)));
    EXPECT_EQ(scope.count(), 1u);
    EXPECT_EQ(live, 1);
    loop.Advance(absl::Seconds(1));
    EXPECT_EQ(finished, 1);
    EXPECT_EQ(scope.count(), 0u);
    EXPECT_EQ(live, 0);
  }
  EXPECT_EQ(LivePooledBlocks(), blocks);
}

TEST(TaskScope, CancelsWhatStillRunsWhenItIsDestroyed) {
  FakeLoop loop;
  int finished = 0;
  int live = 0;
  {
    TaskScope scope(loop, "test");
    for (int i = 1; i <= 3; ++i) {
      scope.Spawn(SleepThenCount(loop, absl::Seconds(i), finished, Tracked(live)));
    }
    loop.Advance(absl::Seconds(1));
    EXPECT_EQ(scope.count(), 2u);
    EXPECT_EQ(live, 2);
  }
  EXPECT_EQ(live, 0);
  EXPECT_EQ(loop.armed_timers(), 0u);
  loop.Advance(absl::Seconds(10));
  EXPECT_EQ(finished, 1);
}

TEST(TaskScope, CancelsTheOldestFirstAndCanBeUsedAgain) {
  FakeLoop loop;
  std::vector<int> order;
  TaskScope scope(loop, "test");
  for (int i = 0; i < 3; ++i) scope.Spawn(AppendAtEnd(loop, order, i));
  scope.CancelAll();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(scope.count(), 0u);
  scope.Spawn(AppendAtEnd(loop, order, 3));
  EXPECT_EQ(scope.count(), 1u);
}

TEST(TaskScope, LetsATaskSpawnAnother) {
  FakeLoop loop;
  TaskScope scope(loop, "test");
  int finished = 0;
  int live = 0;
  scope.Spawn(SpawnAnother(scope, loop, finished, live));
  EXPECT_EQ(scope.count(), 2u);
  loop.Advance(absl::Seconds(1));
  EXPECT_EQ(scope.count(), 1u);
  loop.Advance(absl::Seconds(1));
  EXPECT_EQ(scope.count(), 0u);
  EXPECT_EQ(finished, 2);
}

TEST(TaskScope, MayGoAwayWhileAFinishedTaskWaitsForItsDeletion) {
  FakeLoop loop;
  int finished = 0;
  int live = 0;
  {
    TaskScope scope(loop, "test");
    scope.Spawn(SleepThenCount(loop, absl::ZeroDuration(), finished, Tracked(live)));
  }
  loop.RunPending();
  EXPECT_EQ(finished, 1);
  EXPECT_EQ(live, 0);
}

}  // namespace
}  // namespace outrigger
