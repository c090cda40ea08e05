// Deadlines that all lie the same distance ahead: a FIFO list, because whoever armed first is due
// first. Arming and cancelling cost a few nanoseconds; one loop timer serves the whole queue.
//
//   DeadlineQueue header_timeouts(loop, absl::Seconds(10));
//   struct Connection { DeadlineEntry header_deadline{[this] { OnHeaderTimeout(); }}; };
//   header_timeouts.Arm(connection.header_deadline);
//   connection.header_deadline.Unlink();      // cancel; the destructor does it too
//
// One thread. An entry fires in [deadline, deadline + a loop turn], never early, from the loop, and
// may arm itself again or destroy its owner. The queue must outlive armed entries.

#pragma once

#include <functional>
#include <utility>

#include "proxy/base/intrusive_list.h"
#include "proxy/event/loop.h"

namespace outrigger {

class DeadlineEntry : public ListNode {
 public:
  explicit DeadlineEntry(std::function<void()> on_deadline)
      : on_deadline_(std::move(on_deadline)) {}

  bool is_armed() const { return is_linked(); }

 private:
  friend class DeadlineQueue;

  MonoTime when_;
  std::function<void()> on_deadline_;
};

class DeadlineQueue final : private Timer {
 public:
  DeadlineQueue(Loop& loop, absl::Duration timeout)
      : Timer(loop), timeout_(timeout), timeout_nanos_(absl::ToInt64Nanoseconds(timeout)) {}

  // Sets the entry's deadline to now plus the timeout, replacing an earlier one. An infinite
  // timeout only cancels.
  void Arm(DeadlineEntry& entry);

  absl::Duration timeout() const { return timeout_; }
  // Of an entry that would be armed now; infinite when the timeout is.
  MonoTime NextDeadline() const { return loop().Now().PlusNanos(timeout_nanos_); }
  bool empty() const { return entries_.empty(); }

 private:
  void OnTimer() override;

  const absl::Duration timeout_;
  const int64_t timeout_nanos_;  // the same, for every Arm()
  IntrusiveList<DeadlineEntry> entries_;
};

}  // namespace outrigger
