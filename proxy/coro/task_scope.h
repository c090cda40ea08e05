// Tasks that nobody awaits: work that must outlive whoever began it, owned by a worker under a
// name.
//
//   TaskScope executions(loop, "idempotency");
//   executions.Spawn(Run(std::move(execution)));    // runs to its first wait before this returns
//   log.Info("stopping").Str("scope", executions.name()).Uint("tasks", executions.count());
//
// A task that has returned is destroyed at the end of the turn, when none of its code is running.
// Destroying the scope, or CancelAll(), destroys the tasks that still run, oldest first; that is
// their cancellation.
//
// REQUIRES: the scope is destroyed, and CancelAll() called, from the loop and never by a task of
// the scope. One thread; the loop must outlive the scope.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "proxy/base/intrusive_list.h"
#include "proxy/base/pooled.h"
#include "proxy/coro/task.h"
#include "proxy/event/loop.h"

namespace outrigger {

class TaskScope {
 public:
  TaskScope(Loop& loop, std::string name) : loop_(loop), name_(std::move(name)) {}
  ~TaskScope() { CancelAll(); }
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;

  // Owns `task` and starts it.
  void Spawn(Task<void> task) {
    auto owned = std::make_unique<Entry>();
    Entry& entry = *owned.release();
    running_.PushBack(entry);
    ++count_;
    entry.root = Run(*this, entry, std::move(task));
    entry.root.Start();
  }

  void CancelAll() {
    while (!running_.empty()) {
      Entry& entry = running_.front();
      entry.Unlink();
      --count_;
      delete &entry;
    }
  }

  // Tasks that have not returned.
  size_t count() const { return count_; }
  const std::string& name() const { return name_; }

 private:
  // In `running_` until the task has returned, then in the loop's list of what is to be deleted.
  struct Entry final : Deletable, Pooled {
    Task<void> root;
  };

  static Task<void> Run(TaskScope& scope, Entry& entry, Task<void> task) {
    co_await std::move(task);
    entry.Unlink();
    --scope.count_;
    scope.loop_.DeferDelete(std::unique_ptr<Deletable>(&entry));
  }

  Loop& loop_;
  const std::string name_;
  IntrusiveList<Entry> running_;
  size_t count_ = 0;
};

}  // namespace outrigger
