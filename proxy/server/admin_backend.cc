#include "proxy/server/admin_backend.h"

#include <fmt/format.h>

namespace outrigger::server {
namespace {

std::string StateText(breaker::State state) {
  switch (state) {
    case breaker::State::kClosed:
      return "closed";
    case breaker::State::kHalfOpen:
      return "half_open";
    case breaker::State::kOpen:
      break;
  }
  return "open";
}

std::string ControlText(breaker::Override control) {
  switch (control) {
    case breaker::Override::kAuto:
      return "auto";
    case breaker::Override::kForcedOpen:
      return "open";
    case breaker::Override::kForcedClosed:
      break;
  }
  return "close";
}

breaker::Override ToOverride(admin::BreakerCommand command) {
  switch (command) {
    case admin::BreakerCommand::kOpen:
      return breaker::Override::kForcedOpen;
    case admin::BreakerCommand::kClose:
      return breaker::Override::kForcedClosed;
    case admin::BreakerCommand::kAuto:
      break;
  }
  return breaker::Override::kAuto;
}

}  // namespace

double AdminBackend::StateNumber(breaker::Breaker& breaker) {
  return static_cast<double>(breaker.TakeSnapshot(CoarseNow()).state);
}

std::vector<std::pair<std::string, int64_t>> AdminBackend::KeyCounts(
    const idempotency::TableStats& stats) {
  std::vector<std::pair<std::string, int64_t>> counts;
  for (int state = 1; state < idempotency::kStates; ++state) {
    counts.emplace_back(idempotency::StateName(static_cast<idempotency::State>(state)),
                        static_cast<int64_t>(stats.keys[static_cast<size_t>(state)]));
  }
  return counts;
}

// In the form of the file, and how it came to be in use.
std::string AdminBackend::Config() {
  const ConfigStatus::View view = parts_.config.view();
  nlohmann::ordered_json json = config::ToJson(*view.config);
  // An API key, perhaps.
  for (nlohmann::ordered_json& upstream : json["upstreams"]) {
    nlohmann::ordered_json& inference = upstream["health"]["inference"];
    if (!inference.is_object()) continue;
    for (nlohmann::ordered_json& value : inference["headers"]) value = "(not shown)";
  }
  json["reload"] = {
      {"generation", view.generation},
      {"loaded_at", absl::FormatTime(absl::RFC3339_sec, view.loaded_at, absl::UTCTimeZone())},
      {"last_successful", view.is_last_successful},
      {"problems", view.problems}};
  return json.dump(2) + "\n";
}

std::vector<admin::BreakerView> AdminBackend::Breakers() {
  std::vector<admin::BreakerView> views;
  for (const std::shared_ptr<breaker::Breaker>& breaker : parts_.shared.breakers().List()) {
    const breaker::Snapshot snapshot = breaker->TakeSnapshot(CoarseNow());
    admin::BreakerView view;
    view.id = breaker->id();
    view.state = StateText(snapshot.state);
    view.control = ControlText(snapshot.override);
    view.numbers = {
        {"samples", snapshot.counts.samples},
        {"failures", snapshot.counts.failures},
        {"slow", snapshot.counts.slow},
        {"consecutive_failures", snapshot.consecutive},
        {"probe_successes", snapshot.probe_successes},
        {"next_probe_ms", absl::ToInt64Milliseconds(snapshot.until_probe)},
    };
    views.push_back(std::move(view));
  }
  return views;
}

absl::Status AdminBackend::SetBreaker(std::string_view id, admin::BreakerCommand command) {
  std::shared_ptr<breaker::Breaker> breaker = parts_.shared.breakers().Find(id);
  if (breaker == nullptr) return absl::NotFoundError(fmt::format("no breaker \"{}\"", id));
  breaker->SetOverride(ToOverride(command), CoarseNow());
  parts_.logs.shared()
      .Info("breaker_set")
      .Str("breaker", id)
      .Str("control", ControlText(ToOverride(command)));
  return absl::OkStatus();
}

std::vector<std::pair<std::string, int64_t>> AdminBackend::Idempotency() {
  const idempotency::TableStats stats = parts_.shared.keys().Stats();
  std::vector<std::pair<std::string, int64_t>> numbers = KeyCounts(stats);
  numbers.emplace_back("body_bytes", static_cast<int64_t>(stats.body_bytes));
  const std::pair<const char*, uint64_t> totals[] = {
      {"begun_total", stats.begun},       {"stored_total", stats.stored},
      {"released_total", stats.released}, {"tombstones_total", stats.tombstones},
      {"unknown_total", stats.unknown},   {"evicted_total", stats.evicted},
      {"expired_total", stats.expired},   {"erased_total", stats.erased},
      {"illegal_total", stats.illegal},
  };
  for (const auto& [name, value] : totals) numbers.emplace_back(name, static_cast<int64_t>(value));
  return numbers;
}

absl::Status AdminBackend::ForgetKey(std::string_view hash) {
  const std::optional<uint64_t> prefix = idempotency::ParseHash(hash);
  if (!prefix.has_value()) {
    return absl::InvalidArgumentError("a key's hash has 16 hexadecimal digits");
  }
  if (parts_.shared.keys().Erase(*prefix) == 0) {
    return absl::NotFoundError(fmt::format("no key with hash {}", hash));
  }
  parts_.logs.shared().Warn("idempotency_key_forgotten").Str("key_hash", hash);
  return absl::OkStatus();
}

void AdminBackend::Drain(std::optional<absl::Duration> timeout, std::function<void()> drained) {
  parts_.begin_drain(timeout, std::move(drained));
}

std::string AdminBackend::LogLevel() { return std::string(LevelName(parts_.logs.level())); }

absl::Status AdminBackend::SetLogLevel(std::string_view level) {
  const std::optional<log::Level> parsed = log::ParseLevel(level);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("no level \"{}\": debug, info, warn, error or off", level));
  }
  parts_.logs.set_level(*parsed);
  return absl::OkStatus();
}

}  // namespace outrigger::server
