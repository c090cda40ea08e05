// Holds the head of an event stream back until its first content event, so that an error before it
// can still be a real status and be retried (semantics RT-5), and keeps the response's StreamState
// up to date for everybody outside.
//
// Stands right outside the router in every chain; it is not configured as a filter. A stream that
// shows nothing within the hold (the smaller of 15 s and the first-token timeout) is passed on as
// it is: balancers in front give up on headers at 60 s. What was read meanwhile is handed out
// first. Streams with a content coding cannot be read and pass unobserved. One worker.

#pragma once

#include <memory>

#include "filters/common/stream_grammar.h"
#include "proxy/chain/filter.h"
#include "proxy/event/deadline_queue.h"

namespace outrigger::common {

class CommitGate final : public chain::Filter {
 public:
  // `hold_timeouts` null: streams are observed but not held (`commit: headers`).
  CommitGate(Loop& loop, StreamGrammar grammar, DeadlineQueue* hold_timeouts)
      : loop_(loop), grammar_(grammar), hold_timeouts_(hold_timeouts) {}

  static constexpr absl::Duration kLongestHold = absl::Seconds(15);
  // A preamble longer than this is passed on.
  static constexpr size_t kMaxHeldBytes = 64 * 1024;

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  Loop& loop_;
  const StreamGrammar grammar_;
  DeadlineQueue* hold_timeouts_;
};

// Whether the head announces an event stream that can be read.
bool IsEventStream(const http::HeaderList& headers);

}  // namespace outrigger::common
