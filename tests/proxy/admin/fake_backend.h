// A backend that remembers what it was asked.

#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/admin/backend.h"

namespace outrigger::admin {

class FakeBackend : public Backend {
 public:
  std::string Metrics() override { return "outrigger_up 1\n"; }
  std::string Config() override { return "workers: 1\n"; }
  std::vector<BreakerView> Breakers() override {
    return {{"app:8000/chat", "open", "auto", {{"failures", 5}}}};
  }
  absl::Status SetBreaker(std::string_view id, BreakerCommand command) override {
    if (id != "app:8000/chat") return absl::NotFoundError("no breaker of that name");
    commands.push_back(command);
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, int64_t>> Idempotency() override { return {{"done", 3}}; }
  absl::Status ForgetKey(std::string_view hash) override {
    if (hash == "busy") return absl::FailedPreconditionError("still executing");
    if (hash.size() != 4) return absl::InvalidArgumentError("not a hash");
    forgotten.emplace_back(hash);
    return absl::OkStatus();
  }
  void Drain(std::optional<absl::Duration> timeout, std::function<void()> done) override {
    std::lock_guard lock(mutex);
    ++drains;
    drain_timeout = timeout;
    drained = std::move(done);
  }
  std::string LogLevel() override { return level; }
  absl::Status SetLogLevel(std::string_view wanted) override {
    if (wanted != "debug" && wanted != "info") return absl::InvalidArgumentError("no such level");
    level = wanted;
    return absl::OkStatus();
  }

  std::vector<BreakerCommand> commands;
  std::vector<std::string> forgotten;
  std::string level = "info";
  std::mutex mutex;  // guards what follows
  int drains = 0;
  std::optional<absl::Duration> drain_timeout;
  std::function<void()> drained;
};

}  // namespace outrigger::admin
