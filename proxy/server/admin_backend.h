// What the admin server shows and changes (proxy/admin/backend.h), from the parts of the process.
// All calls come from the admin thread and touch only what is safe from any.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/admin/backend.h"
#include "proxy/chain/shared_state.h"
#include "proxy/log/logger.h"
#include "proxy/metrics/registry.h"
#include "proxy/server/config_status.h"

namespace outrigger::server {

class AdminBackend final : public admin::Backend {
 public:
  struct Parts {
    const ConfigStatus& config;
    metrics::Registry& registry;
    chain::SharedState& shared;
    log::LogService& logs;
    // Posts to the main thread; the function is called when the drain is over.
    std::function<void(std::optional<absl::Duration>, std::function<void()>)> begin_drain;
  };

  explicit AdminBackend(Parts parts) : parts_(std::move(parts)) {}

  std::string Metrics() override { return parts_.registry.Serialize(); }
  std::string Config() override;
  std::vector<admin::BreakerView> Breakers() override;
  absl::Status SetBreaker(std::string_view id, admin::BreakerCommand command) override;
  std::vector<std::pair<std::string, int64_t>> Idempotency() override;
  absl::Status ForgetKey(std::string_view hash) override;
  void Drain(std::optional<absl::Duration> timeout, std::function<void()> drained) override;
  std::string LogLevel() override;
  absl::Status SetLogLevel(std::string_view level) override;

  // 0 closed, 1 half-open, 2 open (BR-8).
  static double StateNumber(breaker::Breaker& breaker);
  // Keys by the name of their state.
  static std::vector<std::pair<std::string, int64_t>> KeyCounts(
      const idempotency::TableStats& stats);

 private:
  const Parts parts_;
};

}  // namespace outrigger::server
