// Cuts an await short at a point in time, where deadlines lie at different distances ahead; where
// all of them lie equally far, a DeadlineEntry costs less.
//
//   Abortable<Result> attempt(next(request));
//   AbortTimer timer(loop, attempt);
//   timer.Arm(loop.Now() + limit);
//   std::optional<Result> result = co_await attempt;   // nullopt: the limit has passed
//
// One worker; `what` outlives it.

#pragma once

#include "proxy/coro/abortable.h"
#include "proxy/event/loop.h"

namespace outrigger {

template <class T>
class AbortTimer final : public Timer {
 public:
  AbortTimer(Loop& loop, Abortable<T>& what) : Timer(loop), what_(what) {}

  // Whether it was this that ended the await.
  bool has_fired() const { return has_fired_; }

 private:
  void OnTimer() override {
    has_fired_ = true;
    what_.Abort();
  }

  Abortable<T>& what_;
  bool has_fired_ = false;
};

}  // namespace outrigger
