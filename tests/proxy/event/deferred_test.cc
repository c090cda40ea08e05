#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_loop.h"

namespace outrigger {
namespace {

class Work final : public Deferred {
 public:
  explicit Work(std::function<void()> run) : run_(std::move(run)) {}

 private:
  void RunDeferred() override { run_(); }

  std::function<void()> run_;
};

class Object final : public Deletable, public Deferred {
 public:
  Object(std::vector<std::string>& notes, std::string name, std::function<void()> on_end = nullptr)
      : notes_(notes), name_(std::move(name)), on_end_(std::move(on_end)) {}
  ~Object() override {
    notes_.push_back("~" + name_);
    if (on_end_) on_end_();
  }

 private:
  void RunDeferred() override { notes_.push_back("run " + name_); }

  std::vector<std::string>& notes_;
  const std::string name_;
  const std::function<void()> on_end_;
};

using Notes = std::vector<std::string>;

TEST(Defer, RunsOnceAtTheEndOfTheTurnInOrder) {
  FakeLoop loop;
  std::vector<int> order;
  Work a([&order] { order.push_back(1); });
  Work b([&order] { order.push_back(2); });
  loop.Defer(b);
  loop.Defer(a);
  loop.Defer(b);
  EXPECT_TRUE(order.empty());
  loop.RunPending();
  EXPECT_EQ(order, (std::vector<int>{2, 1}));
  loop.RunPending();
  EXPECT_EQ(order.size(), 2u);
}

TEST(Defer, IsTakenBackByUnlinkOrDestruction) {
  FakeLoop loop;
  int runs = 0;
  Work a([&runs] { ++runs; });
  {
    Work b([&runs] { ++runs; });
    loop.Defer(b);
  }
  loop.Defer(a);
  a.Unlink();
  loop.RunPending();
  EXPECT_EQ(runs, 0);
}

TEST(Defer, WorkMayUnlinkAndDestroyOthersOfTheSameTurn) {
  FakeLoop loop;
  std::vector<int> order;
  auto destroyed = std::make_unique<Work>([&order] { order.push_back(2); });
  Work unlinked([&order] { order.push_back(3); });
  Work last([&order] { order.push_back(4); });
  Work first([&] {
    order.push_back(1);
    destroyed.reset();
    unlinked.Unlink();
  });
  for (Work* work : {&first, destroyed.get(), &unlinked, &last}) loop.Defer(*work);
  loop.RunPending();
  EXPECT_EQ(order, (std::vector<int>{1, 4}));
}

TEST(Defer, WorkMayDestroyItself) {
  FakeLoop loop;
  int runs = 0;
  std::unique_ptr<Work> work;
  work = std::make_unique<Work>([&] {
    ++runs;
    work.reset();
  });
  loop.Defer(*work);
  loop.RunPending();
  EXPECT_EQ(runs, 1);
}

TEST(Defer, WorkThatDefersItselfRunsInTheNextTurn) {
  FakeLoop loop;
  std::vector<int> order;
  std::unique_ptr<Work> again;
  Work other([&order] { order.push_back(2); });
  again = std::make_unique<Work>([&] {
    order.push_back(1);
    if (order.size() < 4) loop.Defer(*again);
  });
  loop.Defer(*again);
  loop.Defer(other);
  loop.RunPending();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 1, 1}));
}

TEST(DeferDelete, DestroysAtTheEndOfTheTurnInOrder) {
  FakeLoop loop;
  Notes notes;
  loop.DeferDelete(std::make_unique<Object>(notes, "a"));
  loop.DeferDelete(std::make_unique<Object>(notes, "b"));
  EXPECT_TRUE(notes.empty());
  loop.RunPending();
  EXPECT_EQ(notes, (Notes{"~a", "~b"}));
}

TEST(DeferDelete, ComesAfterTheDeferredWorkOfTheObject) {
  FakeLoop loop;
  Notes notes;
  auto object = std::make_unique<Object>(notes, "a");
  loop.Defer(*object);
  loop.DeferDelete(std::move(object));
  loop.RunPending();
  EXPECT_EQ(notes, (Notes{"run a", "~a"}));
}

TEST(DeferDelete, TakesBackWhatTheObjectDeferredTooLate) {
  FakeLoop loop;
  Notes notes;
  auto object = std::make_unique<Object>(notes, "a");
  Object& reference = *object;
  loop.DeferDelete(std::move(object));
  // Runs in this turn, and defers the doomed object for the next, which it does not live to see.
  Work late([&] { loop.Defer(reference); });
  loop.Defer(late);
  loop.RunPending();
  EXPECT_EQ(notes, Notes{"~a"});
}

TEST(DeferDelete, ADestructorMayDoomAndDeferMore) {
  FakeLoop loop;
  Notes notes;
  Work work([&notes] { notes.push_back("work"); });
  loop.DeferDelete(std::make_unique<Object>(notes, "a", [&] {
    loop.DeferDelete(std::make_unique<Object>(notes, "b"));
    loop.Defer(work);
  }));
  loop.RunPending();
  EXPECT_EQ(notes, (Notes{"~a", "~b", "work"}));
}

TEST(DeferDelete, HappensAtTheLatestWithTheLoop) {
  Notes notes;
  {
    FakeLoop loop;
    loop.DeferDelete(std::make_unique<Object>(notes, "a"));
  }
  EXPECT_EQ(notes, Notes{"~a"});
}

}  // namespace
}  // namespace outrigger
