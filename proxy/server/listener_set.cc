#include "proxy/server/listener_set.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "proxy/net/listener.h"

namespace outrigger::server {

using config::ListenerConfig;

std::vector<std::optional<size_t>> MatchListeners(const std::vector<ListenerConfig>& current,
                                                  const std::vector<ListenerConfig>& next) {
  std::vector<std::optional<size_t>> kept(next.size());
  std::vector<bool> is_taken(current.size(), false);
  for (const bool by_name : {true, false}) {
    for (size_t i = 0; i < next.size(); ++i) {
      for (size_t j = 0; j < current.size() && !kept[i].has_value(); ++j) {
        if (is_taken[j] || (by_name && current[j].name != next[i].name)) continue;
        if (current[j].address.ToString() != next[i].address.ToString()) continue;
        kept[i] = j;
        is_taken[j] = true;
      }
    }
  }
  return kept;
}

std::vector<ListenerOrigin> ListenerSet::Plan::TakeFor(size_t worker) {
  std::vector<ListenerOrigin> origins;
  for (size_t i = 0; i < kept.size(); ++i) {
    ListenerOrigin& origin = origins.emplace_back();
    origin.kept = kept[i];
    if (!kept[i].has_value()) origin.fd = std::move(fds[i][worker]);
  }
  return origins;
}

absl::StatusOr<ListenerSet::Plan> ListenerSet::Prepare(
    const std::vector<ListenerConfig>& next) const {
  Plan plan{.listeners = next,
            .kept = MatchListeners(listeners_, next),
            .addresses = {},
            .fds = std::vector<std::vector<net::OwnedFd>>(next.size())};
  for (size_t i = 0; i < next.size(); ++i) {
    if (plan.kept[i].has_value()) {
      plan.addresses.push_back(addresses_[*plan.kept[i]]);
      continue;
    }
    const absl::Status opened = Open(next[i], plan, i);
    if (!opened.ok()) return opened;
  }
  return plan;
}

bool ListenerSet::IsBeingLeft(const net::SocketAddress& address, const Plan& plan) const {
  if (address.is_unix()) return false;
  for (size_t i = 0; i < addresses_.size(); ++i) {
    if (addresses_[i].is_unix() || addresses_[i].port() != address.port()) continue;
    if (std::find(plan.kept.begin(), plan.kept.end(), i) == plan.kept.end()) return true;
  }
  return false;
}

absl::Status ListenerSet::Open(const ListenerConfig& listener, Plan& plan, size_t index) const {
  absl::StatusOr<net::Endpoint> endpoint = net::ParseEndpoint(listener.address.ToString());
  if (!endpoint.ok()) return endpoint.status();
  if (endpoint->needs_resolving()) {  // localhost, the only name that may be listened on
    endpoint->address = net::SocketAddress::FromIp("127.0.0.1", endpoint->port).value();
  }
  net::SocketAddress address = endpoint->address;
  // Sockets of one user may share a port with SO_REUSEPORT, so that a second proxy would silently
  // take half the connections of the first. One of our own that is about to close may still be on
  // the port, for another address of the machine.
  if (!IsBeingLeft(address, plan)) {
    absl::Status is_free = net::Listener::CheckFree(address);
    if (!is_free.ok()) return is_free;
  }
  std::vector<net::OwnedFd>& fds = plan.fds[index];
  for (size_t worker = 0; worker < workers_; ++worker) {
    if (address.is_unix() && !fds.empty()) {
      fds.emplace_back(net::Listener::Duplicate(fds.front().get()));
      continue;
    }
    absl::StatusOr<int> opened = net::Listener::Open(address);
    if (!opened.ok()) return opened.status();
    fds.emplace_back(*opened);
    address = net::Listener::AddressOf(*opened);  // the port that was chosen for 0
  }
  plan.addresses.push_back(address);
  return absl::OkStatus();
}

ListenerSet::Change ListenerSet::Commit(Plan plan) {
  Change change;
  std::vector<bool> is_kept(listeners_.size(), false);
  for (size_t i = 0; i < plan.kept.size(); ++i) {
    if (plan.kept[i].has_value()) {
      is_kept[*plan.kept[i]] = true;
    } else {
      change.added.push_back(plan.addresses[i].ToString());
    }
  }
  for (size_t i = 0; i < is_kept.size(); ++i) {
    if (is_kept[i]) continue;
    change.removed.push_back(addresses_[i].ToString());
    if (addresses_[i].is_unix()) unlink(listeners_[i].address.path.c_str());
  }
  listeners_ = std::move(plan.listeners);
  addresses_ = std::move(plan.addresses);
  return change;
}

std::vector<std::string> ListenerSet::Addresses() const {
  std::vector<std::string> texts;
  for (const net::SocketAddress& address : addresses_) texts.push_back(address.ToString());
  return texts;
}

}  // namespace outrigger::server
