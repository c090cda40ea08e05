// Holds the head of an event stream back until its first content event, so that an error before it
// can still be a real status and be retried (semantics RT-5), and keeps the response's StreamState
// up to date for everybody outside.
//
// Stands right outside the router in every chain; it is not configured as a filter. A stream that
// shows nothing within the hold (15 s, or less when the attempt's time for the first content is
// over sooner) is passed on as it is: balancers in front give up on headers at 60 s. What was read
// meanwhile is handed out first. Streams with a content coding cannot be read and pass unobserved.
//
// The answer to a gRPC call is observed likewise (GrpcState). Nearly always its status comes with
// its head or with its only message. A head that comes alone is held until the first message or the
// end, for a short while: an error can then still be retried. It is passed on at once while the
// caller has not sent all of its messages, because then both sides may wait for each other.
// One worker.

#pragma once

#include <memory>

#include "filters/common/stream_grammar.h"
#include "proxy/chain/filter.h"
#include "proxy/event/deadline_queue.h"

namespace outrigger::common {

class CommitGate final : public chain::Filter {
 public:
  // `hold_timeouts` null: streams are observed but not held (`commit: headers`).
  // `grpc_hold_timeouts`: the same of gRPC's answers.
  CommitGate(Loop& loop, StreamGrammar grammar, DeadlineQueue* hold_timeouts,
             DeadlineQueue* grpc_hold_timeouts = nullptr)
      : loop_(loop),
        grammar_(grammar),
        hold_timeouts_(hold_timeouts),
        grpc_hold_timeouts_(grpc_hold_timeouts) {}

  static constexpr absl::Duration kLongestHold = absl::Seconds(15);
  // Callers may wait for the initial metadata of a stream that has nothing to say yet.
  static constexpr absl::Duration kLongestGrpcHold = absl::Seconds(1);
  // A preamble longer than this is passed on.
  static constexpr size_t kMaxHeldBytes = 64 * 1024;

  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    return request.is_grpc ? CallGrpc(request, next) : CallHttp(request, next);
  }

 private:
  Task<http::Result> CallHttp(http::Request& request, chain::Next next);
  Task<http::Result> CallGrpc(http::Request& request, chain::Next next);

  Loop& loop_;
  const StreamGrammar grammar_;
  DeadlineQueue* hold_timeouts_;
  DeadlineQueue* grpc_hold_timeouts_;
};

// Whether the head announces an event stream that can be read.
bool IsEventStream(const http::HeaderList& headers);

}  // namespace outrigger::common
