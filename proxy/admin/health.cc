#include "proxy/admin/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace outrigger::admin {

bool HealthReport::ok() const {
  return std::ranges::all_of(checks, [](const Check& check) { return check.problem.empty(); });
}

std::string HealthReport::Text() const {
  std::string text;
  for (const Check& check : checks) {
    text += check.problem.empty() ? fmt::format("[+]{} ok\n", check.name)
                                  : fmt::format("[-]{} failed: {}\n", check.name, check.problem);
  }
  text += fmt::format("{} check {}\n", name, ok() ? "passed" : "failed");
  return text;
}

HealthState::HealthState(Options options)
    : options_(options),
      workers_(static_cast<size_t>(options.workers)),
      last_observed_(options.started_at),
      silence_from_(options.started_at) {}

void HealthState::WorkerTicked(int worker, MonoTime now) {
  Worker& state = workers_[static_cast<size_t>(worker)];
  state.last_tick_nanos.store(now.nanos(), std::memory_order_relaxed);
  state.is_running.store(true, std::memory_order_relaxed);
}

void HealthState::SetApps(std::vector<std::shared_ptr<const AppHealth>> apps) {
  std::lock_guard lock(mutex_);
  apps_ = std::move(apps);
}

std::vector<std::shared_ptr<const AppHealth>> HealthState::Apps() const {
  std::lock_guard lock(mutex_);
  return apps_;
}

void HealthState::SetReadyCheck(const std::string& check, std::function<std::string()> problem) {
  std::lock_guard lock(mutex_);
  if (problem == nullptr) {
    ready_checks_.erase(check);
  } else {
    ready_checks_[check] = std::move(problem);
  }
}

void HealthState::Observe(MonoTime now) {
  if (now - last_observed_ > kPause) silence_from_ = now;
  last_observed_ = std::max(last_observed_, now);
}

HealthReport HealthState::Live(MonoTime now) {
  Observe(now);
  HealthReport report{"livez", {{"ping", ""}}};
  for (size_t i = 0; i < workers_.size(); ++i) {
    const int64_t tick = workers_[i].last_tick_nanos.load(std::memory_order_relaxed);
    const MonoTime heard = std::max(MonoTime::FromNanos(tick), silence_from_);
    std::string problem;
    if (now - heard > options_.stall_after) {
      problem = fmt::format("no tick for {:.1f} s", absl::ToDoubleSeconds(now - heard));
    }
    report.checks.push_back({fmt::format("worker-{}", i), std::move(problem)});
  }
  return report;
}

HealthReport HealthState::Started() const {
  HealthReport report{"startupz", {}};
  report.checks.push_back({"config", is_config_loaded_.load() ? "" : "not loaded yet"});
  report.checks.push_back({"listeners", are_listeners_bound_.load() ? "" : "not bound yet"});
  for (size_t i = 0; i < workers_.size(); ++i) {
    const bool is_running = workers_[i].is_running.load(std::memory_order_relaxed);
    report.checks.push_back({fmt::format("worker-{}", i), is_running ? "" : "not running yet"});
  }
  return report;
}

HealthReport HealthState::Ready() const {
  HealthReport report{"readyz", {}};
  report.checks.push_back({"config", is_config_loaded_.load() ? "" : "not loaded yet"});
  report.checks.push_back({"listeners", are_listeners_bound_.load() ? "" : "not bound yet"});
  report.checks.push_back({"drain", is_draining_.load() ? "draining" : ""});
  for (const auto& app : Apps()) {
    report.checks.push_back(
        {fmt::format("app-{}", app->name()), app->is_healthy() ? "" : app->Problem()});
  }
  std::map<std::string, std::function<std::string()>> further;
  {
    std::lock_guard lock(mutex_);
    further = ready_checks_;
  }
  for (const auto& [name, problem] : further) report.checks.push_back({name, problem()});
  return report;
}

}  // namespace outrigger::admin
