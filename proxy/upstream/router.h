// The end of every chain: takes a connection to the upstream, sends the request, waits for the head
// of the answer, and hands out its body as it comes.
//
// The request's body is sent in the same piece as its head when it is in memory, else by a pump
// that runs beside the wait for the answer, so that an early answer is seen at once. With `Expect:
// 100-continue` the pump waits for the service's word (PR-10).
//
// A kept-alive connection that turns out to be closed before any byte of the answer costs one free
// second try on a new connection, when the request may run twice and its body is still at hand
// (B0.2); everything else is a Failure for the filters outside. Dropping the result, or the task,
// resets the connection unless the answer was read to its end. One worker.

#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "proxy/chain/filter.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::upstream {

// Told of every attempt's outcome, for metrics.
class RouterObserver {
 public:
  virtual ~RouterObserver() = default;
  virtual void OnConnected(MonoTime /*started*/, MonoTime /*now*/) {}
  virtual void OnHead(MonoTime /*started*/, MonoTime /*now*/) {}
  // Of an attempt that had a connection: its answer was read, it failed, or it was given up.
  virtual void OnEnd(MonoTime /*started*/, MonoTime /*now*/) {}
};

class Exchange;

class Router final : public chain::Filter {
 public:
  // `via_name` is what this process calls itself in Via. `owner` is of what has to live as long as
  // the router, the upstream above all; may be null.
  Router(EventLoop& loop, Upstream& upstream, RouterObserver* observer, std::string_view via_name,
         std::shared_ptr<const void> owner = nullptr)
      : owner_(std::move(owner)),
        loop_(loop),
        upstream_(upstream),
        observer_(observer),
        via_name_(via_name) {}

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  // Writes the head and what is in memory of the body; starts the pump of the rest. A failure says
  // why nothing could be sent.
  std::optional<http::Failure> Send(http::Request& request, Exchange& exchange);
  // What is known when the head has come.
  void ObserveHead(http::Request& request, const http::ReceivedHead& head, const Exchange& exchange,
                   http::Response& response);

  const std::shared_ptr<const void> owner_;
  EventLoop& loop_;
  Upstream& upstream_;
  RouterObserver* observer_;
  std::string_view via_name_;
};

}  // namespace outrigger::upstream
