// The listening sockets of the process: which a configuration has in common with the one before,
// and those that have to be opened.
//
//   ListenerSet set(worker_count);
//   absl::StatusOr<ListenerSet::Plan> plan = set.Prepare(config->listeners);
//   if (!plan.ok()) ...                              // nothing has changed
//   std::vector<...> for_worker_0 = plan->TakeFor(0);
//   ListenerSet::Change change = set.Commit(*std::move(plan));
//
// A socket belongs to an address: a listener that has another name, other limits or other TLS keeps
// its sockets and connections. The main thread.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/config/listener_config.h"
#include "proxy/net/address.h"
#include "proxy/net/owned_fd.h"

namespace outrigger::server {

// For each listener of `next` the one of `current` whose address it has, nothing: it is new. Of
// several with one address (port 0) those of one name belong together, the rest in their order.
std::vector<std::optional<size_t>> MatchListeners(
    const std::vector<config::ListenerConfig>& current,
    const std::vector<config::ListenerConfig>& next);

// Where a worker's listener comes from.
struct ListenerOrigin {
  std::optional<size_t> kept;  // its index in the configuration before
  net::OwnedFd fd;             // else
};

class ListenerSet {
 public:
  struct Plan {
    std::vector<config::ListenerConfig> listeners;
    std::vector<std::optional<size_t>> kept;
    std::vector<net::SocketAddress> addresses;
    std::vector<std::vector<net::OwnedFd>> fds;  // by listener and worker, of the new ones

    // To be called once for each worker.
    std::vector<ListenerOrigin> TakeFor(size_t worker);
  };
  // "127.0.0.1:15001", with the port that the system chose when 0 was asked for.
  struct Change {
    std::vector<std::string> added;
    std::vector<std::string> removed;
  };

  explicit ListenerSet(size_t workers) : workers_(workers) {}

  // Opens what is new, for every worker. Errors: name the address; what was opened is closed again.
  absl::StatusOr<Plan> Prepare(const std::vector<config::ListenerConfig>& next) const;
  // The plan is carried out. Removes the files of unix sockets that are no longer listened on.
  Change Commit(Plan plan);

  std::vector<std::string> Addresses() const;

 private:
  // Whether a listener that the plan removes has the port of `address`.
  bool IsBeingLeft(const net::SocketAddress& address, const Plan& plan) const;
  absl::Status Open(const config::ListenerConfig& listener, Plan& plan, size_t index) const;

  const size_t workers_;
  std::vector<config::ListenerConfig> listeners_;
  std::vector<net::SocketAddress> addresses_;
};

}  // namespace outrigger::server
