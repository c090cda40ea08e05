// Counts the TLS handshakes of one listener or upstream in one worker, and logs those that fail.
//
//   HandshakeReporter reporter(registry, metrics, log, TlsContexts::kDownstream, "inbound");
//   context.NewSession(fd, reporter);
//
// One worker; outlives the sessions.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/log/logger.h"
#include "proxy/metrics/standard_metrics.h"
#include "proxy/tls/session.h"

namespace outrigger::server {

class HandshakeReporter final : public tls::SessionObserver {
 public:
  HandshakeReporter(metrics::Registry& registry, metrics::WorkerMetrics& metrics, log::Logger& log,
                    std::string_view side, const std::string& name);

  void OnHandshake(tls::HandshakeOutcome outcome, std::string_view detail, int fd) override;

 private:
  metrics::WorkerMetrics& metrics_;
  log::Logger& log_;
  const std::string side_;
  const std::string name_;
  metrics::EnumCounters<tls::HandshakeOutcome> outcomes_;
};

// Those of one worker, by listener and upstream; a reload goes on with the same.
class HandshakeReporters {
 public:
  HandshakeReporters(metrics::Registry& registry, metrics::WorkerMetrics& metrics, log::Logger& log)
      : registry_(registry), metrics_(metrics), log_(log) {}

  HandshakeReporter& For(std::string_view side, const std::string& name) {
    std::unique_ptr<HandshakeReporter>& reporter = reporters_[{std::string(side), name}];
    if (reporter == nullptr) {
      reporter = std::make_unique<HandshakeReporter>(registry_, metrics_, log_, side, name);
    }
    return *reporter;
  }

 private:
  metrics::Registry& registry_;
  metrics::WorkerMetrics& metrics_;
  log::Logger& log_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<HandshakeReporter>> reporters_;
};

}  // namespace outrigger::server
