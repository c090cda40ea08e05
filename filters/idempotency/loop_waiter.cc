#include "filters/idempotency/loop_waiter.h"

namespace outrigger::idempotency {

LoopWaiter::~LoopWaiter() {
  if (mailbox_) mailbox_->waiter = nullptr;
}

void LoopWaiter::Wake() {
  if (loop_.IsOnThread()) {
    loop_.Defer(*this);
    return;
  }
  if (!mailbox_) mailbox_ = MakeRef<Mailbox>(*this);
  loop_.Post([mailbox = mailbox_] {
    if (mailbox->waiter != nullptr) mailbox->waiter->OnWake();
  });
}

}  // namespace outrigger::idempotency
