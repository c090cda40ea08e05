// The TLS of the process: one context for each listener and upstream that has one.
//
//   TlsContexts tls(logs);
//   absl::StatusOr<TlsContexts::Plan> plan = tls.Prepare(*config);
//   if (!plan.ok()) ...                 // nothing has changed
//   TlsSet set = tls.Commit(*std::move(plan));
//   set.listeners[0]                    // null: the listener is plain
//   tls.LoadChanged();                  // now and then: have files changed?
//
// A change of a file that cannot be used is logged and counted, and what was loaded before stays in
// use (E.2 9). A configuration that says the same of a listener or upstream as the one before gets
// the same context. The main thread; metrics are read by any.

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/config/config.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/registry.h"
#include "proxy/tls/client_context.h"
#include "proxy/tls/server_context.h"

namespace outrigger::server {

// Of one configuration; immutable, for any thread.
struct TlsSet {
  std::vector<std::shared_ptr<const tls::ServerContext>> listeners;  // null: plain
  std::map<std::string, std::shared_ptr<const tls::ClientContext>> upstreams;

  // Null: plain.
  std::shared_ptr<const tls::ClientContext> Upstream(const std::string& name) const {
    const auto found = upstreams.find(name);
    return found == upstreams.end() ? nullptr : found->second;
  }
};

class TlsContexts {
 private:
  struct Entry;

 public:
  static constexpr std::string_view kDownstream = "downstream";
  static constexpr std::string_view kUpstream = "upstream";

  class Plan {
    friend class TlsContexts;
    TlsSet set;
    std::vector<std::shared_ptr<Entry>> entries;
  };

  explicit TlsContexts(log::LogService& logs) : logs_(logs) {}
  TlsContexts(const TlsContexts&) = delete;
  TlsContexts& operator=(const TlsContexts&) = delete;

  // Loads what is new. Errors: name the listener or upstream and the file.
  absl::StatusOr<Plan> Prepare(const config::Config& config) const;
  TlsSet Commit(Plan plan);

  // One look at all files.
  void LoadChanged();
  // For a FileWatch.
  std::vector<std::string> Files() const;
  // The handles must go before this object.
  std::vector<metrics::CallbackHandle> AddMetrics(metrics::Registry& registry) const;

 private:
  struct Entry {
    std::string_view side;
    std::string name;
    std::string settings;  // that made it
    std::shared_ptr<tls::Context> context;
    std::atomic<uint64_t> reloads{0};
    std::atomic<uint64_t> failures{0};
    std::atomic<bool> has_failed{false};  // the last reload
  };

  using Entries = std::vector<std::shared_ptr<Entry>>;

  // The entry there is, or one whose context `make` makes and loads.
  absl::StatusOr<std::shared_ptr<Entry>> FindOrLoad(
      std::string_view side, const std::string& name, std::string settings,
      const std::function<std::shared_ptr<tls::Context>()>& make) const;
  Entries entries() const;

  log::LogService& logs_;
  mutable std::mutex mutex_;  // guards entries_
  Entries entries_;
};

}  // namespace outrigger::server
