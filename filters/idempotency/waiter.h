// How somebody who waits on another thread is told to look again.
//
// Wake() is called from the thread that made the change, *with the recording's mutex held*: it may
// only hand a message over (to the mailbox of the waiter's worker) and must not block, nor call
// the recording, its readers or the key table. In return it is never called after the waiter's
// reader was destroyed or its wait was stopped. It is called at most once for each time that the
// waiter was armed. A wake-up says "look again", not "it is ready".

#pragma once

#include "proxy/base/intrusive_list.h"

namespace outrigger::idempotency {

class Waiter {
 public:
  virtual void Wake() = 0;

 protected:
  ~Waiter() = default;
};

// A reader's place in the list of those to wake; linked while armed.
struct WaitingReader : ListNode {
  Waiter* waiter = nullptr;
};

}  // namespace outrigger::idempotency
