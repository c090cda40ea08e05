// A Waiter of an event loop: takes a wake-up from any thread and looks again on its own.
//
//   class Watch final : public LoopWaiter { void OnWake() override { ... } };
//
//   SignalWaiter waiter(loop);
//   while (reader->AwaitHead(waiter) == HeadState::kWait) co_await waiter.Wait();
//
// Wake() never runs anything inside the thread that made the change: on the loop's own thread it
// defers to the end of the turn, from another one it posts a message. A message that arrives when
// the waiter is gone is dropped, so a frame that holds one may be destroyed at any time.
//
// Made, waited on and destroyed on the loop's thread. REQUIRES: destroyed after the reader or the
// wait that it was given to has ended, so that no Wake() is under way (waiter.h).

#pragma once

#include "filters/idempotency/ref_ptr.h"
#include "filters/idempotency/waiter.h"
#include "proxy/event/loop.h"
#include "proxy/event/signal.h"

namespace outrigger::idempotency {

class LoopWaiter : public Waiter, private Deferred {
 public:
  explicit LoopWaiter(Loop& loop) : loop_(loop) {}
  virtual ~LoopWaiter();
  LoopWaiter(const LoopWaiter&) = delete;
  LoopWaiter& operator=(const LoopWaiter&) = delete;

  void Wake() final;

 protected:
  Loop& loop() const { return loop_; }

 private:
  // Where messages from other threads look for the waiter. `waiter` belongs to the loop's thread.
  struct Mailbox : RefCounted<Mailbox> {
    explicit Mailbox(LoopWaiter& owner) : waiter(&owner) {}
    LoopWaiter* waiter;
  };

  // From the loop. May destroy the waiter.
  virtual void OnWake() = 0;
  void RunDeferred() override { OnWake(); }

  Loop& loop_;
  // Made by the first foreign thread, under the mutex that Wake() is called with.
  RefPtr<Mailbox> mailbox_;
};

// For a coroutine that waits.
class SignalWaiter final : public LoopWaiter {
 public:
  explicit SignalWaiter(Loop& loop) : LoopWaiter(loop), signal_(loop) {}

  Signal::Awaiter Wait() { return signal_.Wait(); }
  // For a timer that ends the wait.
  Signal& signal() { return signal_; }

 private:
  void OnWake() override { signal_.NotifyFromLoop(); }

  Signal signal_;
};

}  // namespace outrigger::idempotency
