// Counts the TLS handshakes of one listener or upstream in one worker, and logs those that fail.
//
//   HandshakeReporter reporter(registry, metrics, log, TlsContexts::kDownstream, "inbound");
//   context.NewSession(fd, reporter);
//
// One worker; outlives the sessions.

#pragma once

#include <string>
#include <string_view>

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

}  // namespace outrigger::server
