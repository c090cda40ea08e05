// Turns names into addresses without blocking the worker, with c-ares: hosts file, then the servers
// and search domains of resolv.conf, A and AAAA.
//
//   Resolver resolver(loop);
//   std::unique_ptr<Resolver::Query> query =
//       resolver.Resolve("app.internal", 8000, [](Resolver::Answer answer) { ... });
//
// The answer comes from the loop, once, also when it is known at once. Destroying the query drops a
// late answer; c-ares itself finishes in its own time. The resolver outlives its queries. One
// worker.

#pragma once

#include <ares.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proxy/event/event_loop.h"
#include "proxy/net/address.h"

namespace outrigger::net {

class Resolver {
 public:
  struct Answer {
    absl::Status status;
    std::vector<SocketAddress> addresses;  // not empty when ok
    absl::Duration ttl = absl::ZeroDuration();
  };
  using Callback = std::function<void(Answer)>;

  class Query {
   public:
    ~Query();

   private:
    friend class Resolver;
    struct State;
    explicit Query(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  explicit Resolver(EventLoop& loop);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  std::unique_ptr<Query> Resolve(const std::string& name, uint16_t port, Callback callback);

 private:
  class SocketWatch;
  class TimeoutTimer;

  void OnSocketState(ares_socket_t socket, bool reads, bool writes);
  void Process(ares_socket_t read, ares_socket_t write);
  void ArmTimeout();

  EventLoop& loop_;
  ares_channel channel_ = nullptr;
  std::vector<std::unique_ptr<SocketWatch>> watches_;
  std::unique_ptr<TimeoutTimer> timer_;
};

}  // namespace outrigger::net
