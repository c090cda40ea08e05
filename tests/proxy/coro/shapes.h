// What the tables of coroutine shapes (safe_shapes_test.cc, bad_shapes_test.cc) have in common: an
// object that notices leaks and double destruction, the awaited functions, and a runner that
// destroys a coroutine at each of its waits.
//
//   ShapeRun run = DestroyEverywhere([](Shape& shape) { return InitialisesALocal(shape); });
//   EXPECT_EQ(run.result, 7);  EXPECT_EQ(run.faults, 0);

#pragma once

#include <functional>
#include <set>
#include <utility>

#include "proxy/base/pooled.h"
#include "proxy/coro/task.h"
#include "tests/support/fake_loop.h"

namespace outrigger::shapes {

// Every Probe that is alive, by address. Counts destructions of what is not, and constructions
// over what is.
class Ledger {
 public:
  void Add(const void* probe) { faults_ += live_.insert(probe).second ? 0 : 1; }
  void Remove(const void* probe) { faults_ += live_.erase(probe) == 1 ? 0 : 1; }
  size_t live() const { return live_.size(); }
  int faults() const { return faults_; }

 private:
  std::set<const void*> live_;
  int faults_ = 0;
};

// Stands for anything with a destructor that matters: a string, a lease, a result.
class Probe {
 public:
  Probe(Ledger& ledger, int number) : ledger_(&ledger), value_(number) { ledger_->Add(this); }
  Probe(const Probe& other) : ledger_(other.ledger_), value_(other.value_) { ledger_->Add(this); }
  Probe(Probe&& other) noexcept : ledger_(other.ledger_), value_(std::exchange(other.value_, 0)) {
    ledger_->Add(this);
  }
  Probe& operator=(const Probe& other) = default;
  Probe& operator=(Probe&& other) noexcept {
    value_ = std::exchange(other.value_, 0);
    return *this;
  }
  ~Probe() { ledger_->Remove(this); }

  int value() const { return value_; }

 private:
  Ledger* ledger_;
  int value_;
};

// An aggregate: no constructor of its own.
struct Pair {
  Probe first;
  int second;
};

struct TwoProbes {
  Probe first;
  Probe second;
};

struct Shape {
  FakeLoop loop;
  Ledger ledger;
};

// Each waits once and then gives its value.

inline Task<void> Wait(Shape& shape) { co_await shape.loop.Sleep(absl::Seconds(1)); }

inline Task<Probe> Make(Shape& shape, int number) {
  Probe probe(shape.ledger, number);
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return probe;
}

inline Task<int> Number(Shape& shape, int number) {
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return number;
}

inline Task<bool> Truth(Shape& shape, bool truth) {
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return truth;
}

inline Task<int> ValueOf(Shape& shape, Probe probe) {
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return probe.value();
}

inline Task<int> ValueOfReferred(Shape& shape, const Probe& probe) {
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return probe.value();
}

inline Task<int> SumOf(Shape& shape, Pair pair) {
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return pair.first.value() + pair.second;
}

inline Task<int> ResultOf(Shape& shape, std::function<int()> function) {
  co_await shape.loop.Sleep(absl::Seconds(1));
  co_return function();
}

struct ShapeRun {
  int result = 0;
  int waits = 0;
  // Leaked and doubly destroyed probes, timers and frames left behind, over all runs.
  long faults = 0;
};

// Runs the coroutine to its end, and then again for each of its waits, destroying it there.
inline ShapeRun DestroyEverywhere(const std::function<Task<int>(Shape&)>& make) {
  ShapeRun run;
  for (int destroy_at = -1; destroy_at < run.waits; ++destroy_at) {
    const long frames = LivePooledBlocks();
    Shape shape;
    {
      Task<int> task = make(shape);
      task.Start();
      int waits = 0;
      while (!task.is_done() && waits != destroy_at && waits < 100) {
        ++waits;
        shape.loop.Advance(absl::Seconds(1));
      }
      if (destroy_at < 0) {
        run.waits = waits;
        if (task.is_done()) {
          run.result = task.TakeValue();
        } else {
          ++run.faults;  // a resumption was lost
        }
      }
    }
    run.faults += static_cast<long>(shape.ledger.live()) + shape.ledger.faults();
    run.faults += static_cast<long>(shape.loop.armed_timers());
    run.faults += LivePooledBlocks() - frames;
  }
  return run;
}

}  // namespace outrigger::shapes
