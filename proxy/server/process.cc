#include "proxy/server/process.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <csignal>
#include <iterator>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "proxy/metrics/process_metrics.h"
#include "proxy/server/breaker_readiness.h"
#include "proxy/server/cgroup.h"
#include "proxy/server/startup_pages.h"
#include "proxy/server/state_metrics.h"
#include "proxy/server/version.h"

namespace outrigger::server {
namespace {

std::string MakeViaName() {
  std::random_device device;
  return fmt::format("outrigger-{:08x}", device());
}

log::Level ToLevel(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::kDebug:
      return log::Level::kDebug;
    case config::LogLevel::kInfo:
      return log::Level::kInfo;
    case config::LogLevel::kWarn:
      return log::Level::kWarn;
    case config::LogLevel::kError:
      break;
  }
  return log::Level::kError;
}

std::unique_ptr<log::LogService> MakeLogs(const config::Config& config) {
  log::LogService::Options options;
  options.level = ToLevel(config.log.level);
  return std::make_unique<log::LogService>(options);
}

// The soft limit of open files is for programs that use select(); ours is the hard one.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Drain::Times TimesOf(const config::DrainSettings& settings) {
  return {.lame_duck = settings.lame_duck, .timeout = settings.timeout};
}

}  // namespace

Process::Process(std::shared_ptr<const config::Config> config, ConfigOrigin origin,
                 std::unique_ptr<log::LogService> logs)
    : config_(std::move(config)),
      origin_(std::move(origin)),
      via_name_(MakeViaName()),
      worker_count_(
          WorkerCount(config_->workers, CgroupCpuLimit(), std::thread::hardware_concurrency())),
      logs_(std::move(logs)),
      status_(config_, absl::Now()),
      tls_(*logs_),
      listener_set_(static_cast<size_t>(worker_count_)),
      standard_metrics_(registry_, static_cast<size_t>(config_->metrics.max_label_values)),
      audit_(logs_->shared()),
      breaker_reporter_(registry_, standard_metrics_, logs_->shared()),
      shared_(SharedOptions()),
      health_({.workers = worker_count_, .started_at = PreciseNow()}),
      parts_{.shared = shared_,
             .registry = registry_,
             .standard_metrics = standard_metrics_,
             .logs = *logs_,
             .via_name = via_name_,
             .on_tick = [this](int worker, MonoTime now) { OnTick(worker, now); }} {}

void Process::SetReadiness(const config::ReadinessConfig& readiness) {
  std::function<std::string()> problem;
  for (const config::ReadinessFlip flip : readiness.flip_on) {
    switch (flip) {
      case config::ReadinessFlip::kBreaker: {
        auto breakers =
            std::make_shared<BreakerReadiness>(shared_.breakers(), readiness.max_unready_for);
        problem = [breakers] { return breakers->Problem(CoarseNow()); };
        break;
      }
    }
  }
  health_.SetReadyCheck("breakers", std::move(problem));
}

chain::SharedState::Limits Process::LimitsOf(const config::Config& config) {
  chain::SharedState::Limits limits;
  limits.memory_bytes = MemoryBudgetBytes(config.memory_budget, CgroupMemoryLimit());
  const config::IdempotencySettings& idempotency = config.filters.settings.idempotency;
  limits.key_limits.max_keys = static_cast<size_t>(idempotency.max_keys);
  limits.key_limits.max_bodies_bytes = idempotency.max_bodies.value_or(limits.memory_bytes / 4);
  return limits;
}

chain::SharedState::Options Process::SharedOptions() {
  chain::SharedState::Options options;
  options.limits = LimitsOf(*config_);
  options.audit = &audit_;
  options.on_breaker_transition = [this](const breaker::Breaker& breaker,
                                         const breaker::Transition& transition) {
    breaker_reporter_.Report(breaker, transition);
  };
  options.seed = std::random_device{}();
  return options;
}

Process::~Process() {
  signals_.clear();
  // Before the workers: it asks them for numbers.
  admin_.reset();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Stop();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Join();
  callbacks_.clear();
  workers_.clear();
}

absl::StatusOr<std::unique_ptr<Process>> Process::Start(
    std::shared_ptr<const config::Config> config, ConfigOrigin origin, Options options) {
  RaiseFileLimit();
  std::unique_ptr<log::LogService> logs = MakeLogs(*config);
  std::unique_ptr<Process> process(
      new Process(std::move(config), std::move(origin), std::move(logs)));
  // One arena for each thread that allocates; more only cost memory.
  mallopt(M_ARENA_MAX, process->worker_count_);
  for (int i = 0; i < process->worker_count_; ++i) {
    process->workers_.push_back(std::make_unique<Worker>(i, process->parts_));
  }
  absl::StatusOr<Prepared> prepared = process->Prepare(process->config_);
  if (!prepared.ok()) return prepared.status();
  process->health_.SetListenersBound();
  process->SetReadiness(process->config_->readiness);
  for (size_t i = 0; i < process->workers_.size(); ++i) {
    process->workers_[i]->Adopt(std::move(prepared->for_worker[i]));
  }
  process->health_.SetConfigLoaded();
  absl::Status status = process->StartGrpcHealth();
  if (status.ok()) status = process->StartAdmin(std::move(options));
  if (!status.ok()) return status;
  process->AddMetrics();
  for (const std::unique_ptr<Worker>& worker : process->workers_) worker->Start();
  return process;
}

void Process::AddMetrics() {
  const auto keep = [this](std::vector<metrics::CallbackHandle> handles) {
    std::move(handles.begin(), handles.end(), std::back_inserter(callbacks_));
  };
  keep(metrics::AddProcessMetrics(registry_));
  keep(tls_.AddMetrics(registry_));
  keep(AddStateMetrics(registry_, {shared_, *logs_, health_, status_}));
}

absl::StatusOr<Process::Prepared> Process::Prepare(
    const std::shared_ptr<const config::Config>& next) {
  absl::StatusOr<TlsContexts::Plan> tls = tls_.Prepare(*next);
  if (!tls.ok()) return tls.status();
  absl::StatusOr<ListenerSet::Plan> listeners = listener_set_.Prepare(next->listeners);
  if (!listeners.ok()) return listeners.status();
  // Nothing can fail any more.
  tls_set_ = tls_.Commit(*std::move(tls));
  Prepared prepared;
  for (size_t worker = 0; worker < workers_.size(); ++worker) {
    prepared.for_worker.push_back(
        {.config = next, .tls = tls_set_, .listeners = listeners->TakeFor(worker)});
  }
  prepared.listeners = listener_set_.Commit(*std::move(listeners));
  return prepared;
}

absl::Status Process::TakeOver(const std::shared_ptr<const config::Config>& next,
                               std::function<void()> done) {
  absl::StatusOr<Prepared> prepared = Prepare(next);
  if (!prepared.ok()) return prepared.status();
  Adopt(next);
  adopting_ = workers_.size();
  // On the main thread, once for each worker.
  const auto on_adopted = [this, done = std::move(done),
                           listeners = std::move(prepared->listeners)] {
    if (--adopting_ > 0) return;
    for (const std::string& address : listeners.added) {
      logs_->shared().Info("listening").Str("address", address);
    }
    for (const std::string& address : listeners.removed) {
      logs_->shared().Info("listener_removed").Str("address", address);
    }
    done();
  };
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->AdoptLater(std::move(prepared->for_worker[i]),
                            [this, on_adopted] { main_loop_.Post(on_adopted); });
  }
  return absl::OkStatus();
}

void Process::Adopt(const std::shared_ptr<const config::Config>& next) {
  const std::shared_ptr<const config::Config> before = std::exchange(config_, next);
  // Before any worker builds its chains.
  shared_.BeginConfiguration(LimitsOf(*next));
  // Else what an operator has set by PUT /log-level stays.
  if (next->log.level != before->log.level) logs_->set_level(ToLevel(next->log.level));
  drain_->SetTimes(TimesOf(next->admin.drain));
  if (next->readiness != before->readiness) SetReadiness(next->readiness);
  if (HasOtherAppChecks(*before, *next)) StartAppChecks();
  WatchFiles();
}

void Process::WatchFiles() {
  std::vector<std::string> files = tls_.Files();
  files.push_back(origin_.source.file);
  watch_->Watch(files);
}

absl::Status Process::StartGrpcHealth() {
  if (!config_->admin.grpc_address.has_value()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<GrpcHealthServer>> server =
      GrpcHealthServer::Start(config_->admin.grpc_address->ToString(), GrpcModulePath());
  if (!server.ok()) return server.status();
  grpc_health_ = *std::move(server);
  // Until they are observed for the first time.
  grpc_health_->Set(GrpcHealthServer::kLiveness, true);
  grpc_health_->Set(GrpcHealthServer::kReadiness, false);
  grpc_health_->Set(GrpcHealthServer::kStartup, false);
  return absl::OkStatus();
}

absl::Status Process::StartAdmin(Options process_options) {
  backend_ = std::make_unique<AdminBackend>(AdminBackend::Parts{
      .config = status_,
      .registry = registry_,
      .shared = shared_,
      .logs = *logs_,
      .begin_drain = [this](std::optional<absl::Duration> timeout, std::function<void()> done) {
        main_loop_.Post([this, timeout, done = std::move(done)]() mutable {
          if (drain_->is_over()) {
            done();
            return;
          }
          on_drained_.push_back(std::move(done));
          drain_->Begin();
          if (timeout.has_value()) drain_->SetTimeout(*timeout);
        });
      }});
  admin::Server::Options options;
  options.app_probes = std::move(process_options.app_probes);
  options.on_app_change = [this](const admin::AppHealth& health) {
    logs_->shared()
        .Info("app_health")
        .Str("upstream", health.name())
        .Bool("healthy", health.is_healthy())
        .Str("problem", health.Problem());
  };
  options.on_inference = [this](const admin::AppHealth& health, const admin::CheckResult& result) {
    logs_->shared()
        .Info("inference_probe")
        .Str("upstream", health.name())
        .Bool("passed", result.outcome == admin::CheckOutcome::kSuccess)
        .Str("problem", result.detail);
  };
  if (grpc_health_ != nullptr) {
    options.on_observe = [this](MonoTime now) {
      grpc_health_->Set(GrpcHealthServer::kLiveness, health_.Live(now).ok());
      grpc_health_->Set(GrpcHealthServer::kReadiness, health_.Ready().ok());
      grpc_health_->Set(GrpcHealthServer::kStartup, health_.Started().ok());
    };
  }
  absl::StatusOr<std::unique_ptr<admin::Server>> server = admin::Server::Start(
      config_->admin.address.ToString(), health_, *backend_, std::move(options));
  if (!server.ok()) return server.status();
  admin_ = std::move(*server);
  StartAppChecks();
  return absl::OkStatus();
}

void Process::OnTick(int worker, MonoTime now) { health_.WorkerTicked(worker, now); }

void Process::OnEndSignal(int number) {
  if (drain_->is_begun()) {
    logs_->shared().Warn("drain_cut_short").Int("signal", number);
    drain_->EndNow();
    return;
  }
  logs_->shared().Info("signal").Int("signal", number);
  drain_->Begin();
}

void Process::MakeDrain() {
  const auto all = [this](void (Worker::*step)()) {
    for (const std::unique_ptr<Worker>& worker : workers_) (worker.get()->*step)();
  };
  Drain::Steps steps;
  steps.on_lame_duck = [this, all] {
    logs_->shared().Info("drain_begins").Millis("timeout_ms", config_->admin.drain.timeout);
    reloader_->Stop();
    health_.SetDraining();
    admin_->CheckAppsNow();
    all(&Worker::BeginDrain);
  };
  steps.on_refuse = [this, all] {
    logs_->shared().Info("drain_refuses_new");
    all(&Worker::RefuseNew);
  };
  steps.on_cut = [this, all] {
    logs_->shared().Warn("drain_cuts_streams");
    all(&Worker::CloseAll);
  };
  steps.on_over = [this] {
    logs_->shared().Info("drain_over");
    for (std::function<void()>& done : std::exchange(on_drained_, {})) done();
    main_loop_.Stop();
  };
  steps.has_refused = [this] {
    for (const std::unique_ptr<Worker>& worker : workers_) {
      if (!worker->has_refused()) return false;
    }
    return true;
  };
  steps.is_idle = [this] {
    for (const std::unique_ptr<Worker>& worker : workers_) {
      if (worker->active_requests() > 0) return false;
    }
    return true;
  };
  steps.is_app_gone = [this] {
    for (const std::shared_ptr<const admin::AppHealth>& app : health_.Apps()) {
      if (app->last_outcome() != admin::CheckOutcome::kRefused) return false;
    }
    return true;
  };
  drain_ = std::make_unique<Drain>(main_loop_, TimesOf(config_->admin.drain), std::move(steps));
}

int Process::Run() {
  MakeDrain();
  signal(SIGPIPE, SIG_IGN);
  for (int number : {SIGTERM, SIGINT}) {
    signals_.push_back(
        std::make_unique<SignalEvent>(main_loop_, number, [this, number] { OnEndSignal(number); }));
  }
  reloader_ = std::make_unique<ConfigReloader>(
      main_loop_,
      ConfigReloader::Parts{.origin = origin_,
                            .status = status_,
                            .log = logs_->shared(),
                            .take_over = [this](const auto& next, std::function<void()> done) {
                              return TakeOver(next, std::move(done));
                            }});
  watch_ = std::make_unique<FileWatch>(main_loop_, [this] {
    tls_.LoadChanged();
    reloader_->Look();
    shared_.DropUnused();
  });
  WatchFiles();
  signals_.push_back(
      std::make_unique<SignalEvent>(main_loop_, SIGHUP, [this] { reloader_->OnSignal(); }));
  for (const std::string& address : ListenerAddresses()) {
    logs_->shared().Info("listening").Str("address", address);
  }
  logs_->shared()
      .Info("started")
      .Str("version", kVersion)
      .Int("workers", worker_count_)
      .Int("admin_port", admin_port());
  if (grpc_health_ != nullptr) {
    logs_->shared().Info("grpc_health").Int("port", grpc_health_->port());
  }
  ReleaseStartupPages();
  main_loop_.Run();
  return 0;
}

}  // namespace outrigger::server
