#include "proxy/server/tls_contexts.h"

#include <fmt/format.h>

#include <utility>

#include "absl/time/clock.h"
#include "proxy/config/change.h"
#include "proxy/metrics/descriptors.h"

namespace outrigger::server {
namespace {

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

absl::StatusOr<TlsContexts::Plan> TlsContexts::Prepare(const config::Config& config) const {
  Plan plan;
  for (const config::ListenerConfig& listener : config.listeners) {
    plan.set.listeners.push_back(nullptr);
    if (!listener.tls.has_value()) continue;
    absl::StatusOr<std::shared_ptr<Entry>> entry =
        FindOrLoad(kDownstream, listener.name, config::TlsSettingsOf(listener), [&listener] {
          return std::make_shared<tls::ServerContext>(tls::ServerOptions{
              .files = {.cert = listener.tls->cert,
                        .key = listener.tls->key,
                        .ca = listener.tls->client_ca},
              .client_auth = ToClientAuth(listener.tls->client_auth),
              .allowed = ToRules(listener.tls->client_san),
              .offers_http1 = listener.protocol != config::ListenerProtocol::kHttp2,
              .offers_http2 = listener.protocol != config::ListenerProtocol::kHttp1});
        });
    if (!entry.ok()) return entry.status();
    plan.set.listeners.back() =
        std::static_pointer_cast<const tls::ServerContext>((*entry)->context);
    plan.entries.push_back(*std::move(entry));
  }
  for (const config::UpstreamConfig& upstream : config.upstreams) {
    if (!upstream.tls.has_value()) continue;
    absl::StatusOr<std::shared_ptr<Entry>> entry =
        FindOrLoad(kUpstream, upstream.name, config::TlsSettingsOf(upstream), [&upstream] {
          return std::make_shared<tls::ClientContext>(tls::ClientOptions{
              .files = {.cert = upstream.tls->cert,
                        .key = upstream.tls->key,
                        .ca = upstream.tls->ca},
              .server_name = upstream.tls->server_name,
              .allowed = ToRules(upstream.tls->server_san),
              .is_http2 = upstream.protocol == config::UpstreamProtocol::kHttp2});
        });
    if (!entry.ok()) return entry.status();
    plan.set.upstreams[upstream.name] =
        std::static_pointer_cast<const tls::ClientContext>((*entry)->context);
    plan.entries.push_back(*std::move(entry));
  }
  return plan;
}

absl::StatusOr<std::shared_ptr<TlsContexts::Entry>> TlsContexts::FindOrLoad(
    std::string_view side, const std::string& name, std::string settings,
    const std::function<std::shared_ptr<tls::Context>()>& make) const {
  for (const std::shared_ptr<Entry>& entry : entries()) {
    if (entry->side == side && entry->name == name && entry->settings == settings) return entry;
  }
  auto entry = std::make_shared<Entry>();
  entry->side = side;
  entry->name = name;
  entry->settings = std::move(settings);
  entry->context = make();
  const absl::Status loaded = entry->context->Load();
  if (!loaded.ok()) {
    return absl::Status(loaded.code(), fmt::format("TLS of {} {}: {}",
                                                   side == kDownstream ? "listener" : "upstream",
                                                   name, Text(loaded)));
  }
  // Started with all the same: clients may not look at it, and without the proxy nothing works.
  if (entry->context->not_after().has_value() && *entry->context->not_after() <= absl::Now()) {
    logs_.shared().Warn("tls_certificate_expired").Str("side", side).Str("name", name);
  }
  return entry;
}

TlsSet TlsContexts::Commit(Plan plan) {
  const std::lock_guard lock(mutex_);
  entries_ = std::move(plan.entries);
  return std::move(plan.set);
}

TlsContexts::Entries TlsContexts::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

std::vector<std::string> TlsContexts::Files() const {
  std::vector<std::string> files;
  for (const std::shared_ptr<Entry>& entry : entries()) {
    const tls::Files& named = entry->context->files();
    for (const std::string* file : {&named.cert, &named.key, &named.ca}) files.push_back(*file);
  }
  return files;
}

void TlsContexts::LoadChanged() {
  for (const std::shared_ptr<Entry>& entry : entries()) {
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
    for (const std::shared_ptr<Entry>& entry : entries()) {
      const std::optional<absl::Time> not_after = entry->context->not_after();
      if (!not_after.has_value()) continue;
      samples.push_back({{std::string(entry->side), entry->name},
                         static_cast<double>(absl::ToUnixSeconds(*not_after))});
    }
    return samples;
  }));
  handles.push_back(registry.AddCallback(metrics::families::kTlsReloads, [this] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<Entry>& entry : entries()) {
      const std::string side(entry->side);
      samples.push_back({{side, entry->name, "loaded"}, static_cast<double>(entry->reloads)});
      samples.push_back({{side, entry->name, "failed"}, static_cast<double>(entry->failures)});
    }
    return samples;
  }));
  handles.push_back(registry.AddCallback(metrics::families::kTlsLastReload, [this] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<Entry>& entry : entries()) {
      samples.push_back(
          {{std::string(entry->side), entry->name}, entry->has_failed.load() ? 0.0 : 1.0});
    }
    return samples;
  }));
  return handles;
}

}  // namespace outrigger::server
