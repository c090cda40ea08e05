// Keeps the addresses of an endpoint that is given by name up to date (semantics RU-1).
//
//   NameWatch watch(loop, resolver, upstream, endpoint_index, endpoint, on_change);
//
// Asks at once and again when the records' time to live is over (1 s to 5 min). When that fails,
// the addresses that are known stay in use and it asks again after 1 s, doubling to 30 s. One
// worker.

#pragma once

#include <functional>
#include <memory>

#include "proxy/net/resolver.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::upstream {

class NameWatch final : private Timer {
 public:
  // Told of failures and of recoveries, for the log: an ok status after a failure.
  using OnChange = std::function<void(const absl::Status& status)>;

  NameWatch(EventLoop& loop, net::Resolver& resolver, Upstream& upstream, size_t endpoint_index,
            net::Endpoint endpoint, OnChange on_change);

 private:
  void OnTimer() override { Ask(); }
  void Ask();
  void OnAnswer(net::Resolver::Answer answer);

  net::Resolver& resolver_;
  Upstream& upstream_;
  const size_t endpoint_index_;
  const net::Endpoint endpoint_;
  const OnChange on_change_;
  std::unique_ptr<net::Resolver::Query> query_;
  absl::Duration failure_wait_ = absl::ZeroDuration();
};

}  // namespace outrigger::upstream
