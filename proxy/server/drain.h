// The steps of a shutdown, in order, on the main loop (K8-3, K8-4). What each step does is given by
// the owner, so that the order and the times can be tested on a fake clock.
//
//   Drain drain(loop, {.lame_duck = ..., .timeout = ...}, steps);
//   drain.Begin();
//
// Lame duck: unready, still serving. Refusing: no new requests, waiting for those that run. Over:
// what is left is cut. It is over early as soon as nothing runs after the lame duck, or during it
// when the service has gone; never before all workers have begun to refuse, because a request may
// come while they are being told.

#pragma once

#include <functional>

#include "absl/time/time.h"
#include "proxy/event/loop.h"

namespace outrigger::server {

class Drain final : private Timer {
 public:
  struct Times {
    absl::Duration lame_duck = absl::Seconds(5);
    absl::Duration timeout = absl::Seconds(25);  // includes the lame duck
  };
  struct Steps {
    std::function<void()> on_lame_duck;
    std::function<void()> on_refuse;
    std::function<void()> on_cut;
    std::function<void()> on_over;      // the process may end
    std::function<bool()> has_refused;  // every worker does what on_refuse asked for
    std::function<bool()> is_idle;      // nothing is in flight
    std::function<bool()> is_app_gone;  // the service's port refuses
  };

  Drain(Loop& loop, Times times, Steps steps);

  // A reload. REQUIRES: not begun.
  void SetTimes(Times times) { times_ = times; }
  // A second call changes nothing.
  void Begin();
  // Shortens the time that is left; REQUIRES: begun.
  void SetTimeout(absl::Duration timeout);
  // Cuts what runs and ends.
  void EndNow();
  bool is_begun() const { return state_ != State::kServing; }
  bool is_over() const { return state_ == State::kOver; }

 private:
  enum class State { kServing, kLameDuck, kRefusing, kCutting, kOver };

  void OnTimer() override;
  void Step();
  // REQUIRES: on_refuse was called.
  bool IsDone() const { return steps_.has_refused() && steps_.is_idle(); }

  Times times_;
  const Steps steps_;
  State state_ = State::kServing;
  MonoTime refuse_at_;
  MonoTime cut_at_;
  MonoTime give_up_at_;
};

}  // namespace outrigger::server
