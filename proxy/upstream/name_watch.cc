#include "proxy/upstream/name_watch.h"

#include <algorithm>
#include <utility>

namespace outrigger::upstream {
namespace {

constexpr absl::Duration kShortestTtl = absl::Seconds(1);
constexpr absl::Duration kLongestTtl = absl::Minutes(5);
constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Seconds(30);

}  // namespace

NameWatch::NameWatch(EventLoop& loop, net::Resolver& resolver, Upstream& upstream,
                     size_t endpoint_index, net::Endpoint endpoint, OnChange on_change)
    : Timer(loop),
      resolver_(resolver),
      upstream_(upstream),
      endpoint_index_(endpoint_index),
      endpoint_(std::move(endpoint)),
      on_change_(std::move(on_change)) {
  Ask();
}

void NameWatch::Ask() {
  query_ = resolver_.Resolve(endpoint_.host, endpoint_.port,
                             [this](net::Resolver::Answer answer) { OnAnswer(std::move(answer)); });
}

void NameWatch::OnAnswer(net::Resolver::Answer answer) {
  const MonoTime now = loop().Now();
  if (!answer.status.ok()) {
    if (failure_wait_ == absl::ZeroDuration()) on_change_(answer.status);
    failure_wait_ = failure_wait_ == absl::ZeroDuration()
                        ? kFirstRetry
                        : std::min(failure_wait_ * 2, kLongestRetry);
    Arm(now + failure_wait_);
    return;
  }
  if (std::exchange(failure_wait_, absl::ZeroDuration()) != absl::ZeroDuration()) {
    on_change_(absl::OkStatus());
  }
  upstream_.SetAddresses(endpoint_index_, std::move(answer.addresses));
  Arm(now + std::clamp(answer.ttl, kShortestTtl, kLongestTtl));
}

}  // namespace outrigger::upstream
