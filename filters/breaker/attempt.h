// One try under way, and what the breaker is told of it (semantics B0.2, BR-4).
//
//   Attempt attempt(loop, std::move(permit), {.slow_ttft = ..., .route_deadline = ...});
//   Result result = co_await next(request);
//   attempt.Judge(verdict.breaker, is_slow);
//   WatchBody(std::move(attempt), request.effects, response);
//
// Destroyed without a verdict while the head was awaited, the request was cancelled. That is a
// failure when the route's deadline had come, a slow sample when the client had waited for more
// than `slow_ttft`, and else nothing: the permit is given up.
//
// One worker; the loop outlives it.

#pragma once

#include <utility>

#include "absl/time/time.h"
#include "filters/breaker/breaker.h"
#include "filters/common/outcome.h"
#include "proxy/event/loop.h"
#include "proxy/http/response.h"

namespace outrigger::breaker {

class Attempt {
 public:
  struct Limits {
    absl::Duration slow_ttft = absl::InfiniteDuration();
    // Infinite when the caller has set a shorter one: its impatience is no failure of the service.
    MonoTime route_deadline = MonoTime::Infinite();
  };

  // A permit that was never acquired (shadow mode) takes every verdict without effect.
  Attempt(const Loop& loop, Permit permit, const Limits& limits)
      : loop_(&loop), permit_(std::move(permit)), limits_(limits), started_(loop.Now()) {}
  Attempt(Attempt&& other) noexcept = default;
  Attempt& operator=(Attempt&&) = delete;
  ~Attempt();

  // The first verdict counts.
  void Judge(common::BreakerClass verdict, bool is_slow);
  // The body failed after a good verdict; counts once.
  void FailLate();
  // The head is here: the route's deadline for it no longer matters.
  void HeadHasCome() { limits_.route_deadline = MonoTime::Infinite(); }

  bool is_judged() const { return is_judged_; }
  // Whether content that came at `when` came late.
  bool IsSlowAt(MonoTime when) const { return when - started_ > limits_.slow_ttft; }
  bool IsSlowNow() const { return IsSlowAt(loop_->Now()); }

 private:
  const Loop* loop_;
  Permit permit_;
  Limits limits_;
  MonoTime started_;
  bool is_judged_ = false;
  bool is_good_ = false;
};

// Keeps `attempt` until the response has ended: a body that is cut, stalls or tells of an error
// adds a failure. An event stream that has shown no content yet is judged here, by its first
// content event or the lack of one; everything else must be judged already.
void WatchBody(Attempt attempt, http::Effects effects, http::Response& response);

}  // namespace outrigger::breaker
