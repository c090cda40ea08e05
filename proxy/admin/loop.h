// The admin thread's event loop: libevent, and a mailbox for other threads.
//
//   Loop loop;
//   std::thread thread([&] { loop.Run(); });
//   loop.mailbox()->Post([] { ... });          // any thread; runs on the loop's thread
//   loop.mailbox()->Post([&] { loop.Stop(); });
//
// The base has no locks: everything but Post() belongs to the thread that runs the loop. The
// mailbox is shared, so that a late answer may be posted when the loop is gone; it is then dropped.

#pragma once

#include <event2/event.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/time/time.h"

namespace outrigger::admin {

struct EventBaseFree {
  void operator()(event_base* base) const { event_base_free(base); }
};
struct EventFree {
  void operator()(event* e) const { event_free(e); }
};
using EventPtr = std::unique_ptr<event, EventFree>;

// For evtimer_add; never negative.
timeval ToDelay(absl::Duration duration);

class Mailbox {
 public:
  Mailbox();
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // False, and `task` dropped, when the loop is gone.
  bool Post(std::function<void()> task);

 private:
  friend class Loop;

  std::vector<std::function<void()>> TakeAll();
  void Close();

  std::mutex mutex_;  // guards the two fields below
  std::vector<std::function<void()>> tasks_;
  bool is_closed_ = false;
  int event_fd_ = -1;
};

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  event_base* base() { return base_.get(); }
  const std::shared_ptr<Mailbox>& mailbox() { return mailbox_; }
  void Run();
  // Run() returns after the callbacks that are due. From the loop's thread.
  void Stop();
  // A timer, not armed. `callback` stays valid as long as the event.
  EventPtr NewTimer(event_callback_fn callback, void* argument);

 private:
  static void OnMail(evutil_socket_t fd, short what, void* self);

  std::unique_ptr<event_base, EventBaseFree> base_;
  std::shared_ptr<Mailbox> mailbox_;
  EventPtr mail_event_;
};

}  // namespace outrigger::admin
