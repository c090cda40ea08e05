// Calls a function from the loop for each signal of a kind.
//
//   SignalEvent terminate(main_loop, SIGTERM, [&] { drain.Begin(); });
//
// The loop's thread; the loop outlives it.

#pragma once

#include <event2/event.h>

#include <functional>
#include <memory>
#include <utility>

#include "proxy/event/event_loop.h"

namespace outrigger::server {

class SignalEvent {
 public:
  SignalEvent(EventLoop& loop, int number, std::function<void()> on_signal)
      : on_signal_(std::move(on_signal)),
        event_(event_new(
            loop.base(), number, EV_SIGNAL | EV_PERSIST,
            [](evutil_socket_t, short, void* self) {
              static_cast<SignalEvent*>(self)->on_signal_();
            },
            this)) {
    event_add(event_.get(), nullptr);
  }
  SignalEvent(const SignalEvent&) = delete;
  SignalEvent& operator=(const SignalEvent&) = delete;

 private:
  struct EventFree {
    void operator()(event* event) const { event_free(event); }
  };

  const std::function<void()> on_signal_;
  const std::unique_ptr<event, EventFree> event_;
};

}  // namespace outrigger::server
