#include "proxy/event/deadline_queue.h"

namespace outrigger {

void DeadlineQueue::Arm(DeadlineEntry& entry) {
  entry.Unlink();
  if (timeout_ == absl::InfiniteDuration()) return;
  entry.when_ = NextDeadline();
  entries_.PushBack(entry);
  // Left armed when entries are cancelled: it then fires early, finds the front not due, and waits
  // on.
  if (!is_armed()) Timer::Arm(entries_.front().when_);
}

void DeadlineQueue::OnTimer() {
  const MonoTime now = loop().Now();
  // Set apart first: an entry without a timeout that arms itself again would be due for ever.
  IntrusiveList<DeadlineEntry> due;
  while (!entries_.empty() && entries_.front().when_ <= now) {
    DeadlineEntry& entry = entries_.front();
    entry.Unlink();
    due.PushBack(entry);
  }
  while (!due.empty()) {
    DeadlineEntry& entry = due.front();
    entry.Unlink();
    entry.on_deadline_();
  }
  if (!entries_.empty() && !is_armed()) Timer::Arm(entries_.front().when_);
}

}  // namespace outrigger
