#include "proxy/server/tls_contexts.h"

#include <fmt/format.h>

#include <utility>

#include "absl/time/clock.h"
#include "proxy/metrics/descriptors.h"

namespace outrigger::server {
namespace {

constexpr absl::Duration kWatchPeriod = absl::Seconds(1);  // SE-2: new files within 2 s

tls::ClientAuth ToClientAuth(config::ClientAuth auth) {
  switch (auth) {
    case config::ClientAuth::kNone:
      return tls::ClientAuth::kNone;
    case config::ClientAuth::kOptional:
      return tls::ClientAuth::kOptional;
    case config::ClientAuth::kRequire:
      break;
  }
  return tls::ClientAuth::kRequire;
}

std::vector<tls::SanRule> ToRules(const std::vector<std::string>& texts) {
  std::vector<tls::SanRule> rules;
  // The configuration has checked the form.
  for (const std::string& text : texts) rules.push_back(tls::SanRule::Parse(text).value());
  return rules;
}

std::string_view Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace

class TlsContexts::WatchTimer final : public Timer {
 public:
  WatchTimer(Loop& loop, TlsContexts& contexts) : Timer(loop), contexts_(contexts) { ArmNext(); }

 private:
  void OnTimer() override {
    contexts_.LoadChanged();
    ArmNext();
  }
  void ArmNext() { Arm(loop().Now() + kWatchPeriod); }

  TlsContexts& contexts_;
};

TlsContexts::TlsContexts(log::LogService& logs) : logs_(logs) {}
TlsContexts::~TlsContexts() = default;

absl::StatusOr<std::unique_ptr<TlsContexts>> TlsContexts::Load(const config::Config& config,
                                                               log::LogService& logs) {
  std::unique_ptr<TlsContexts> contexts(new TlsContexts(logs));
  for (const config::ListenerConfig& listener : config.listeners) {
    contexts->listeners_.push_back(nullptr);
    if (!listener.tls.has_value()) continue;
    auto context = std::make_unique<tls::ServerContext>(
        tls::ServerOptions{.files = {.cert = listener.tls->cert,
                                     .key = listener.tls->key,
                                     .ca = listener.tls->client_ca},
                           .client_auth = ToClientAuth(listener.tls->client_auth),
                           .allowed = ToRules(listener.tls->client_san),
                           .offers_http1 = listener.protocol != config::ListenerProtocol::kHttp2,
                           .offers_http2 = listener.protocol != config::ListenerProtocol::kHttp1});
    contexts->listeners_.back() = context.get();
    const absl::Status added = contexts->Add(kDownstream, listener.name, std::move(context));
    if (!added.ok()) return added;
  }
  for (const config::UpstreamConfig& upstream : config.upstreams) {
    if (!upstream.tls.has_value()) continue;
    auto context = std::make_unique<tls::ClientContext>(tls::ClientOptions{
        .files = {.cert = upstream.tls->cert, .key = upstream.tls->key, .ca = upstream.tls->ca},
        .server_name = upstream.tls->server_name,
        .allowed = ToRules(upstream.tls->server_san),
        .is_http2 = upstream.protocol == config::UpstreamProtocol::kHttp2});
    contexts->upstreams_[upstream.name] = context.get();
    const absl::Status added = contexts->Add(kUpstream, upstream.name, std::move(context));
    if (!added.ok()) return added;
  }
  return contexts;
}

absl::Status TlsContexts::Add(std::string_view side, const std::string& name,
                              std::unique_ptr<tls::Context> context) {
  const absl::Status loaded = context->Load();
  if (!loaded.ok()) {
    return absl::Status(loaded.code(), fmt::format("TLS of {} {}: {}",
                                                   side == kDownstream ? "listener" : "upstream",
                                                   name, Text(loaded)));
  }
  // Started with all the same: clients may not look at it, and without the proxy nothing works.
  if (context->not_after().has_value() && *context->not_after() <= absl::Now()) {
    logs_.shared().Warn("tls_certificate_expired").Str("side", side).Str("name", name);
  }
  auto entry = std::make_unique<Entry>();
  entry->side = side;
  entry->name = name;
  entry->context = std::move(context);
  entries_.push_back(std::move(entry));
  return absl::OkStatus();
}

const tls::ClientContext* TlsContexts::Upstream(const std::string& name) const {
  const auto found = upstreams_.find(name);
  return found == upstreams_.end() ? nullptr : found->second;
}

void TlsContexts::Watch(Loop& loop) {
  if (!entries_.empty()) timer_ = std::make_unique<WatchTimer>(loop, *this);
}

void TlsContexts::LoadChanged() {
  for (const std::unique_ptr<Entry>& entry : entries_) {
    const std::optional<absl::Status> loaded = entry->context->LoadIfChanged();
    if (!loaded.has_value()) continue;
    entry->has_failed.store(!loaded->ok(), std::memory_order_relaxed);
    if (loaded->ok()) {
      entry->reloads.fetch_add(1, std::memory_order_relaxed);
      logs_.shared().Info("tls_reloaded").Str("side", entry->side).Str("name", entry->name);
    } else {
      entry->failures.fetch_add(1, std::memory_order_relaxed);
      logs_.shared()
          .Error("tls_reload_failed")
          .Str("side", entry->side)
          .Str("name", entry->name)
          .Str("error", Text(*loaded));
    }
  }
}

std::vector<metrics::CallbackHandle> TlsContexts::AddMetrics(metrics::Registry& registry) const {
  using metrics::Sample;
  std::vector<metrics::CallbackHandle> handles;
  handles.push_back(registry.AddCallback(metrics::families::kTlsCertificateExpiry, [this] {
    std::vector<Sample> samples;
    for (const std::unique_ptr<Entry>& entry : entries_) {
      const std::optional<absl::Time> not_after = entry->context->not_after();
      if (!not_after.has_value()) continue;
      samples.push_back({{std::string(entry->side), entry->name},
                         static_cast<double>(absl::ToUnixSeconds(*not_after))});
    }
    return samples;
  }));
  handles.push_back(registry.AddCallback(metrics::families::kTlsReloads, [this] {
    std::vector<Sample> samples;
    for (const std::unique_ptr<Entry>& entry : entries_) {
      const std::string side(entry->side);
      samples.push_back({{side, entry->name, "loaded"}, static_cast<double>(entry->reloads)});
      samples.push_back({{side, entry->name, "failed"}, static_cast<double>(entry->failures)});
    }
    return samples;
  }));
  handles.push_back(registry.AddCallback(metrics::families::kTlsLastReload, [this] {
    std::vector<Sample> samples;
    for (const std::unique_ptr<Entry>& entry : entries_) {
      samples.push_back(
          {{std::string(entry->side), entry->name}, entry->has_failed.load() ? 0.0 : 1.0});
    }
    return samples;
  }));
  return handles;
}

}  // namespace outrigger::server
