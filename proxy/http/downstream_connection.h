// A connection from a client, of any protocol, as its worker sees it: something to drain and close.
//
//   listener.connections.PushBack(connection->membership);      // the list does not own
//
// It owns itself: when it has ended it unlinks itself and goes to Loop::DeferDelete. One worker.

#pragma once

#include "proxy/event/loop.h"

namespace outrigger::http {

class DownstreamConnection : public Deletable {
 public:
  // The lame duck: Drain() will follow, but requests are still served. Says so where the protocol
  // can do that without an answer. In HTTP/1 only an answer can: closing an idle connection here
  // would lose the request that its client is just sending.
  virtual void AnnounceDrain() {}
  // Takes no new requests and closes when those that run have ended, an idle one at once.
  virtual void Drain() = 0;
  // For the end of the grace period: what runs is ended with a word why.
  virtual void Shutdown() = 0;
  // Cuts everything without a word.
  virtual void CloseNow() = 0;

  // Membership in the listener's list of connections.
  struct Membership : ListNode {
    explicit Membership(DownstreamConnection& owner) : connection(owner) {}
    DownstreamConnection& connection;
  } membership{*this};
};

}  // namespace outrigger::http
