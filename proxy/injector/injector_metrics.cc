#include "proxy/injector/injector_metrics.h"

#include "proxy/metrics/descriptors.h"
#include "proxy/metrics/process_metrics.h"
#include "proxy/server/tls_contexts.h"
#include "proxy/server/version.h"

namespace outrigger::injector {
namespace {

using metrics::Sample;
using server::TlsContexts;

constexpr std::string_view kListener = "injector";

metrics::CounterId Reviews(metrics::Registry& registry, std::string_view verdict) {
  return registry.AddCounter(metrics::families::kInjectorReviews, {verdict});
}

metrics::CounterId Certificates(metrics::Registry& registry, std::string_view result) {
  return registry.AddCounter(metrics::families::kTlsReloads,
                             {TlsContexts::kDownstream, kListener, result});
}

}  // namespace

InjectorMetrics::InjectorMetrics(log::LogService& logs, const tls::Context& context)
    : worker_(registry_.AddWorker()),
      reviews_{Reviews(registry_, VerdictName(Verdict::kInjected)),
               Reviews(registry_, VerdictName(Verdict::kLeftAlone)),
               Reviews(registry_, VerdictName(Verdict::kImpossible))},
      malformed_(Reviews(registry_, "malformed")),
      handshakes_(registry_, worker_, logs.shared(), TlsContexts::kDownstream,
                  std::string(kListener)),
      loaded_(Certificates(registry_, "loaded")),
      failed_(Certificates(registry_, "failed")),
      callbacks_(metrics::AddProcessMetrics(registry_)) {
  callbacks_.push_back(registry_.AddCallback(
      metrics::families::kTlsCertificateExpiry, [&context]() -> std::vector<Sample> {
        const std::optional<absl::Time> not_after = context.not_after();
        if (!not_after.has_value()) return {};
        return {{{std::string(TlsContexts::kDownstream), std::string(kListener)},
                 static_cast<double>(absl::ToUnixSeconds(*not_after))}};
      }));
  callbacks_.push_back(
      registry_.AddCallback(metrics::families::kBuildInfo, []() -> std::vector<Sample> {
        return {{{std::string(server::kVersion), std::string(server::CompilerName())}, 1}};
      }));
}

void InjectorMetrics::Count(Verdict verdict) {
  worker_.Increment(reviews_[static_cast<size_t>(verdict)]);
}

void InjectorMetrics::CountMalformed() { worker_.Increment(malformed_); }

void InjectorMetrics::CountCertificate(bool is_loaded) {
  worker_.Increment(is_loaded ? loaded_ : failed_);
}

}  // namespace outrigger::injector
