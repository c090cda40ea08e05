// A worker's deadline queues, one for each timeout that its configuration names.
//
//   DeadlineQueue& queue = queues.For(absl::Seconds(300));
//
// Queues live as long as this object, so that deadlines armed under an earlier configuration run
// dry by themselves. One thread.

#pragma once

#include <map>
#include <memory>

#include "proxy/event/deadline_queue.h"

namespace outrigger {

class DeadlineQueues {
 public:
  explicit DeadlineQueues(Loop& loop) : loop_(loop) {}

  DeadlineQueue& For(absl::Duration timeout) {
    std::unique_ptr<DeadlineQueue>& queue = queues_[timeout];
    if (queue == nullptr) queue = std::make_unique<DeadlineQueue>(loop_, timeout);
    return *queue;
  }

 private:
  Loop& loop_;
  std::map<absl::Duration, std::unique_ptr<DeadlineQueue>> queues_;
};

}  // namespace outrigger
