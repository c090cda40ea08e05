// What the keyed executions of one worker have in common: the scope that owns them, and those among
// them that nobody waits for any more (semantics ID-12).
//
//   DetachedCount detached;                          // one for the process
//   ExecutionRuntime runtime(loop, detached);        // one for each worker
//   runtime.CancelDetached();                        // when drain begins
//
// The loop and the count must outlive it; it must outlive the chains' filters but end before what
// the filters use (metrics, key table). One worker, except DetachedCount.

#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include "proxy/base/intrusive_list.h"
#include "proxy/coro/task_scope.h"
#include "proxy/event/loop.h"

namespace outrigger::idempotency {

// How many executions of the pod go on without a reader. Lock-free, any thread.
class DetachedCount {
 public:
  bool TryTake(size_t max) {
    size_t count = count_.load(std::memory_order_relaxed);
    while (count < max) {
      if (count_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void GiveBack() { count_.fetch_sub(1, std::memory_order_relaxed); }
  size_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<size_t> count_{0};
};

class ExecutionRuntime {
 public:
  // An execution without readers; leaves the list and the count when it is unlinked or destroyed
  // through Leave().
  class Detached : public ListNode {
   public:
    virtual void OnDrain() = 0;

   protected:
    ~Detached() = default;
  };

  ExecutionRuntime(Loop& loop, DetachedCount& detached_count)
      : detached_count_(detached_count), scope_(loop, "idempotency") {}

  void Spawn(Task<void> execution) { scope_.Spawn(std::move(execution)); }
  size_t running() const { return scope_.count(); }

  // False when the pod has `max` already, or the worker is draining: the execution must end.
  bool Join(Detached& execution, size_t max) {
    if (is_draining_ || !detached_count_.TryTake(max)) return false;
    detached_.PushBack(execution);
    return true;
  }
  void Leave(Detached& execution) {
    if (!execution.is_linked()) return;
    execution.Unlink();
    detached_count_.GiveBack();
  }

  // Ends all, for the end of the worker. From the loop.
  void CancelAll() { scope_.CancelAll(); }

  // Ends the detached executions, and from now on every one that becomes so. From the loop.
  void CancelDetached() {
    is_draining_ = true;
    while (!detached_.empty()) {
      Detached& execution = detached_.front();
      Leave(execution);
      execution.OnDrain();
    }
  }

 private:
  DetachedCount& detached_count_;
  bool is_draining_ = false;
  IntrusiveList<Detached> detached_;
  TaskScope scope_;  // ends first: its executions leave the list
};

}  // namespace outrigger::idempotency
