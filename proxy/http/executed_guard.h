// Folds "may have been executed" into a request's verdict when its attempt is dropped in the
// middle: by a deadline, a shutdown, a client that left (semantics B0.2). Then nobody is there to
// say it.
//
//   request.was_dispatched = true;
//   ExecutedGuard guard(request);
//   auto head = co_await connection.ReadHead(...);
//   guard.Disarm();                      // from here on the result says it
//
// Lives in a coroutine frame, which the request outlives.

#pragma once

#include <algorithm>

#include "proxy/http/request.h"

namespace outrigger::http {

class ExecutedGuard {
 public:
  explicit ExecutedGuard(Request& request) : request_(request) {}
  ~ExecutedGuard() {
    if (is_armed_) request_.executed = std::max(request_.executed, Executed::kMaybe);
  }
  ExecutedGuard(const ExecutedGuard&) = delete;
  ExecutedGuard& operator=(const ExecutedGuard&) = delete;

  void Disarm() { is_armed_ = false; }

 private:
  Request& request_;
  bool is_armed_ = true;
};

}  // namespace outrigger::http
