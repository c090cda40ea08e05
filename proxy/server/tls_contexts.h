// The TLS of the process: one context for each listener and upstream that has one, and the watch
// on their files.
//
//   absl::StatusOr<std::unique_ptr<TlsContexts>> tls = TlsContexts::Load(config, logs);
//   (*tls)->Listener(0)                 // null: the listener is plain
//   (*tls)->Watch(main_loop);           // looks once a second whether files have changed
//
// A change that cannot be used is logged and counted, and what was loaded before stays in use (E.2
// 9). The contexts outlive the workers that use them; their look-ups are for any thread, Watch() is
// for the main thread.

#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/config/config.h"
#include "proxy/event/loop.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/registry.h"
#include "proxy/tls/client_context.h"
#include "proxy/tls/server_context.h"

namespace outrigger::server {

class TlsContexts {
 public:
  static constexpr std::string_view kDownstream = "downstream";
  static constexpr std::string_view kUpstream = "upstream";

  // Errors: name the listener or upstream and the file.
  static absl::StatusOr<std::unique_ptr<TlsContexts>> Load(const config::Config& config,
                                                           log::LogService& logs);
  ~TlsContexts();
  TlsContexts(const TlsContexts&) = delete;
  TlsContexts& operator=(const TlsContexts&) = delete;

  // Null: plain.
  const tls::ServerContext* Listener(size_t index) const { return listeners_[index]; }
  const tls::ClientContext* Upstream(const std::string& name) const;

  void Watch(Loop& loop);
  // One look at all files.
  void LoadChanged();
  // The handles must go before this object.
  std::vector<metrics::CallbackHandle> AddMetrics(metrics::Registry& registry) const;

 private:
  class WatchTimer;

  struct Entry {
    std::string_view side;
    std::string name;
    std::unique_ptr<tls::Context> context;
    std::atomic<uint64_t> reloads{0};
    std::atomic<uint64_t> failures{0};
    std::atomic<bool> has_failed{false};  // the last reload
  };

  explicit TlsContexts(log::LogService& logs);
  absl::Status Add(std::string_view side, const std::string& name,
                   std::unique_ptr<tls::Context> context);

  log::LogService& logs_;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<const tls::ServerContext*> listeners_;
  std::map<std::string, const tls::ClientContext*> upstreams_;
  std::unique_ptr<WatchTimer> timer_;
};

}  // namespace outrigger::server
