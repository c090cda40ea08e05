// The numbers of `outrigger injector`: reviews by verdict, handshakes, its certificate, the
// process.
//
//   InjectorMetrics metrics(log);
//   metrics.Count(Verdict::kInjected);
//   context.NewSession(fd, metrics.handshakes());
//
// One thread, but for what is read while it is scraped.

#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/injector/review.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/registry.h"
#include "proxy/server/handshake_reporter.h"
#include "proxy/tls/context.h"

namespace outrigger::injector {

class InjectorMetrics {
 public:
  // `context` is that of the certificate that the injector shows; it outlives this object.
  InjectorMetrics(log::LogService& logs, const tls::Context& context);

  void Count(Verdict verdict);
  void CountMalformed();
  // Of a certificate that took the place of another.
  void CountCertificate(bool is_loaded);
  tls::SessionObserver& handshakes() { return handshakes_; }
  std::string Serialize() const { return registry_.Serialize(); }

 private:
  metrics::Registry registry_;
  metrics::WorkerMetrics& worker_;
  const std::array<metrics::CounterId, kVerdictCount> reviews_;
  const metrics::CounterId malformed_;
  server::HandshakeReporter handshakes_;
  const metrics::CounterId loaded_;
  const metrics::CounterId failed_;
  std::vector<metrics::CallbackHandle> callbacks_;
};

}  // namespace outrigger::injector
