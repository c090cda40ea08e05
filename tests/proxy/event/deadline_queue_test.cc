#include "proxy/event/deadline_queue.h"

#include <gtest/gtest.h>

#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/event/deadline_queues.h"
#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

class DeadlineQueueTest : public testing::Test {
 protected:
  std::unique_ptr<DeadlineEntry> Make(int number) {
    return std::make_unique<DeadlineEntry>([this, number] { fired_.push_back(number); });
  }

  FakeLoop loop_;
  DeadlineQueue queue_{loop_, absl::Seconds(10)};
  std::vector<int> fired_;
};

TEST_F(DeadlineQueueTest, FiresAtTheDeadlineAndNotBefore) {
  auto entry = Make(1);
  queue_.Arm(*entry);
  EXPECT_TRUE(entry->is_armed());
  loop_.Advance(absl::Seconds(10) - absl::Nanoseconds(1));
  EXPECT_TRUE(fired_.empty());
  loop_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(fired_, std::vector<int>{1});
  EXPECT_FALSE(entry->is_armed());
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(loop_.armed_timers(), 0u);
}

TEST_F(DeadlineQueueTest, ArmingAgainMovesTheDeadline) {
  auto a = Make(1), b = Make(2);
  queue_.Arm(*a);
  loop_.Advance(absl::Seconds(4));
  queue_.Arm(*b);
  loop_.Advance(absl::Seconds(4));
  queue_.Arm(*a);  // at 8 s: due at 18 s, b at 14 s
  loop_.Advance(absl::Seconds(6));
  EXPECT_EQ(fired_, std::vector<int>{2});
  loop_.Advance(absl::Seconds(4) - absl::Nanoseconds(1));
  EXPECT_EQ(fired_, std::vector<int>{2});
  loop_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(fired_, (std::vector<int>{2, 1}));
}

TEST_F(DeadlineQueueTest, WithoutATimeoutAnEntryThatArmsItselfWaitsForTheNextTurn) {
  DeadlineQueue at_once(loop_, absl::ZeroDuration());
  int fired = 0;
  DeadlineEntry* self = nullptr;
  DeadlineEntry entry([&] {
    ++fired;
    at_once.Arm(*self);
  });
  self = &entry;
  at_once.Arm(entry);
  loop_.Advance(absl::ZeroDuration());
  EXPECT_EQ(fired, 1);
  EXPECT_TRUE(entry.is_armed());
  loop_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(fired, 2);
}

TEST_F(DeadlineQueueTest, ForgetsEntriesThatAreUnlinkedOrDestroyed) {
  auto a = Make(1), b = Make(2), c = Make(3);
  for (DeadlineEntry* entry : {a.get(), b.get(), c.get()}) queue_.Arm(*entry);
  a->Unlink();
  b.reset();
  loop_.Advance(absl::Seconds(10));
  EXPECT_EQ(fired_, std::vector<int>{3});
}

TEST_F(DeadlineQueueTest, NeverFiresWithAnInfiniteTimeout) {
  DeadlineQueue never(loop_, absl::InfiniteDuration());
  auto entry = Make(1);
  queue_.Arm(*entry);
  never.Arm(*entry);  // takes it off the other queue
  EXPECT_FALSE(entry->is_armed());
  loop_.Advance(absl::Hours(1000));
  EXPECT_TRUE(fired_.empty());
}

TEST_F(DeadlineQueueTest, AnEntryMovesFromQueueToQueue) {
  DeadlineQueue soon(loop_, absl::Seconds(1));
  auto entry = Make(1);
  queue_.Arm(*entry);
  soon.Arm(*entry);
  EXPECT_TRUE(queue_.empty());
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(fired_, std::vector<int>{1});
  loop_.Advance(absl::Seconds(20));
  EXPECT_EQ(fired_.size(), 1u);
}

TEST_F(DeadlineQueueTest, ACallbackMayUnlinkDestroyAndArm) {
  std::unique_ptr<DeadlineEntry> self, destroyed, unlinked, last;
  destroyed = Make(2);
  unlinked = Make(3);
  last = Make(4);
  self = std::make_unique<DeadlineEntry>([&, number = std::vector<int>{1}] {
    fired_.push_back(number[0]);
    destroyed.reset();
    unlinked->Unlink();
    queue_.Arm(*self);
  });
  for (DeadlineEntry* entry : {self.get(), destroyed.get(), unlinked.get(), last.get()}) {
    queue_.Arm(*entry);
  }
  loop_.Advance(absl::Seconds(10));
  EXPECT_EQ(fired_, (std::vector<int>{1, 4}));
  EXPECT_TRUE(self->is_armed());
  self->Unlink();
}

TEST_F(DeadlineQueueTest, ACallbackMayDestroyItsOwnEntry) {
  std::unique_ptr<DeadlineEntry> entry;
  const std::vector<int> long_capture(100, 1);
  entry = std::make_unique<DeadlineEntry>([this, &entry, long_capture] {
    fired_.push_back(long_capture[0]);
    entry.reset();
  });
  auto next = Make(2);
  queue_.Arm(*entry);
  queue_.Arm(*next);
  loop_.Advance(absl::Seconds(10));
  EXPECT_EQ(fired_, (std::vector<int>{1, 2}));
}

TEST_F(DeadlineQueueTest, OneTimerServesManyEntries) {
  std::vector<std::unique_ptr<DeadlineEntry>> entries;
  for (int i = 0; i < 1000; ++i) {
    entries.push_back(Make(i));
    queue_.Arm(*entries.back());
  }
  EXPECT_EQ(loop_.armed_timers(), 1u);
  loop_.Advance(absl::Seconds(10));
  ASSERT_EQ(fired_.size(), 1000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(fired_[static_cast<size_t>(i)], i);
}

TEST_F(DeadlineQueueTest, EqualsAListUnderRandomOperations) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    fired_.clear();
    std::vector<std::unique_ptr<DeadlineEntry>> entries;
    for (int i = 0; i < 50; ++i) entries.push_back(Make(i));
    std::list<std::pair<int, MonoTime>> model;
    const auto forget = [&model](int number) {
      model.remove_if([number](const auto& entry) { return entry.first == number; });
    };
    for (int step = 0; step < 10'000; ++step) {
      const size_t index = random.Below(entries.size());
      const int number = static_cast<int>(index);
      switch (random.Below(8)) {
        case 0:
        case 1:
          entries[index]->Unlink();
          forget(number);
          break;
        case 2:
          entries[index] = Make(number);
          forget(number);
          break;
        case 3: {
          fired_.clear();
          loop_.Advance(absl::Milliseconds(static_cast<int64_t>(random.Below(3000))));
          std::vector<int> due;
          while (!model.empty() && model.front().second <= loop_.Now()) {
            due.push_back(model.front().first);
            model.pop_front();
          }
          ASSERT_EQ(fired_, due) << "step " << step;
          break;
        }
        default:
          queue_.Arm(*entries[index]);
          forget(number);
          model.emplace_back(number, loop_.Now() + absl::Seconds(10));
      }
      ASSERT_EQ(entries[index]->is_armed(),
                std::any_of(model.begin(), model.end(),
                            [number](const auto& entry) { return entry.first == number; }));
    }
    entries.clear();
    EXPECT_TRUE(queue_.empty());
  }
}

TEST(DeadlineQueues, KeepOneQueueForEachTimeout) {
  FakeLoop loop;
  DeadlineQueues queues(loop);
  DeadlineQueue& second = queues.For(absl::Seconds(1));
  EXPECT_EQ(&queues.For(absl::Milliseconds(1000)), &second);
  EXPECT_NE(&queues.For(absl::Seconds(2)), &second);
  EXPECT_EQ(second.timeout(), absl::Seconds(1));
}

}  // namespace
}  // namespace outrigger
