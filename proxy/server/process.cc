#include "proxy/server/process.h"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <csignal>
#include <random>
#include <utility>

#include "proxy/metrics/descriptors.h"
#include "proxy/metrics/process_metrics.h"
#include "proxy/server/cgroup.h"
#include "proxy/server/startup_pages.h"
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

}  // namespace

class Process::SignalEvent {
 public:
  SignalEvent(Process& process, int number)
      : process_(process),
        number_(number),
        event_(event_new(
            process.main_loop_.base(), number, EV_SIGNAL | EV_PERSIST,
            [](evutil_socket_t, short, void* self) {
              auto* signal = static_cast<SignalEvent*>(self);
              signal->process_.OnSignal(signal->number_);
            },
            this)) {
    event_add(event_, nullptr);
  }
  ~SignalEvent() { event_free(event_); }

 private:
  Process& process_;
  const int number_;
  event* event_;
};

Process::Process(std::shared_ptr<const config::Config> config,
                 std::unique_ptr<log::LogService> logs, std::unique_ptr<TlsContexts> tls)
    : config_(std::move(config)),
      via_name_(MakeViaName()),
      worker_count_(
          WorkerCount(config_->workers, CgroupCpuLimit(), std::thread::hardware_concurrency())),
      logs_(std::move(logs)),
      tls_(std::move(tls)),
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
             .tls = *tls_,
             .on_tick = [this](int worker, MonoTime now) { OnTick(worker, now); }},
      breaker_readiness_(shared_.breakers(), config_->readiness.max_unready_for) {
  for (const config::ReadinessFlip flip : config_->readiness.flip_on) {
    switch (flip) {
      case config::ReadinessFlip::kBreaker:
        health_.AddReadyCheck("breakers",
                              [this] { return breaker_readiness_.Problem(CoarseNow()); });
        break;
    }
  }
}

chain::SharedState::Options Process::SharedOptions() {
  chain::SharedState::Options options;
  options.memory_bytes = MemoryBudgetBytes(config_->memory_budget, CgroupMemoryLimit());
  const config::IdempotencySettings& idempotency = config_->filters.settings.idempotency;
  options.key_limits.max_keys = static_cast<size_t>(idempotency.max_keys);
  options.key_limits.max_bodies_bytes = idempotency.max_bodies.value_or(options.memory_bytes / 4);
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
    std::shared_ptr<const config::Config> config, Options options) {
  RaiseFileLimit();
  std::unique_ptr<log::LogService> logs = MakeLogs(*config);
  absl::StatusOr<std::unique_ptr<TlsContexts>> tls = TlsContexts::Load(*config, *logs);
  if (!tls.ok()) return tls.status();
  std::unique_ptr<Process> process(
      new Process(std::move(config), std::move(logs), *std::move(tls)));
  // One arena for each thread that allocates; more only cost memory.
  mallopt(M_ARENA_MAX, process->worker_count_);
  for (int i = 0; i < process->worker_count_; ++i) {
    process->workers_.push_back(std::make_unique<Worker>(i, process->parts_, process->config_));
  }
  process->health_.SetConfigLoaded();
  absl::Status status = process->Bind();
  if (status.ok()) status = process->StartGrpcHealth();
  if (status.ok()) status = process->StartAdmin(std::move(options));
  if (!status.ok()) return status;
  process->AddMetrics();
  for (const std::unique_ptr<Worker>& worker : process->workers_) worker->Start();
  return process;
}

absl::Status Process::Bind() {
  for (size_t i = 0; i < config_->listeners.size(); ++i) {
    const std::string text = config_->listeners[i].address.ToString();
    absl::StatusOr<net::Endpoint> endpoint = net::ParseEndpoint(text);
    if (!endpoint.ok()) return endpoint.status();
    if (endpoint->needs_resolving()) {  // localhost, the only name that may be listened on
      endpoint->address = net::SocketAddress::FromIp("127.0.0.1", endpoint->port).value();
    }
    // Sockets of one user may share a port with SO_REUSEPORT, so that a second proxy would silently
    // take half the connections of the first.
    absl::Status is_free = net::Listener::CheckFree(endpoint->address);
    if (!is_free.ok()) return is_free;
    net::SocketAddress address = endpoint->address;
    int first = -1;
    for (const std::unique_ptr<Worker>& worker : workers_) {
      int fd = -1;
      if (address.is_unix() && first >= 0) {
        fd = net::Listener::Duplicate(first);
      } else {
        absl::StatusOr<int> opened = net::Listener::Open(address);
        if (!opened.ok()) return opened.status();
        fd = *opened;
      }
      if (first < 0) {
        first = fd;
        address = net::Listener::AddressOf(fd);  // the port that was chosen for 0
        addresses_.push_back(address);
      }
      worker->AddListener(i, fd);
    }
  }
  health_.SetListenersBound();
  return absl::OkStatus();
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
      .config = *config_,
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

void Process::StartAppChecks() {
  std::vector<admin::AppCheckConfig> checks;
  for (const config::UpstreamConfig& upstream : config_->upstreams) {
    std::shared_ptr<upstream::SharedUpstreamState> state = shared_.Upstream(upstream.name);
    for (const config::Address& endpoint : upstream.endpoints) {
      admin::AppCheckConfig check;
      check.name = upstream.endpoints.size() == 1
                       ? upstream.name
                       : fmt::format("{}/{}", upstream.name, endpoint.ToString());
      check.endpoint = endpoint.ToString();
      check.path = upstream.health.path.value_or("");
      if (upstream.health.grpc.has_value()) {
        const bool is_whole = *upstream.health.grpc == config::HealthSettings::kWholeServer;
        check.grpc_service = is_whole ? "" : *upstream.health.grpc;
      }
      check.is_http2 = upstream.protocol == config::UpstreamProtocol::kHttp2;
      check.tls = tls_->Upstream(upstream.name);
      check.tls_host = endpoint.host;
      check.interval = upstream.health.interval;
      check.timeout = upstream.health.timeout;
      check.policy.unhealthy_after = static_cast<int>(upstream.health.unhealthy_after);
      check.policy.healthy_after = static_cast<int>(upstream.health.healthy_after);
      check.last_upstream_byte = [state] {
        return MonoTime::FromNanos(state->last_byte_nanos.load(std::memory_order_relaxed));
      };
      checks.push_back(std::move(check));
    }
  }
  admin_->SetAppChecks(std::move(checks));
}

void Process::AddMetrics() {
  using metrics::Sample;
  const auto add = [this](const metrics::Descriptor& descriptor, metrics::SampleFunction samples) {
    callbacks_.push_back(registry_.AddCallback(descriptor, std::move(samples)));
  };
  for (metrics::CallbackHandle& handle : metrics::AddProcessMetrics(registry_)) {
    callbacks_.push_back(std::move(handle));
  }
  for (metrics::CallbackHandle& handle : tls_->AddMetrics(registry_)) {
    callbacks_.push_back(std::move(handle));
  }
  const auto one = [](double value) { return std::vector<Sample>{{{}, value}}; };
  add(metrics::families::kBuildInfo, [] {
    return std::vector<Sample>{{{std::string(kVersion), std::string(CompilerName())}, 1}};
  });
  add(metrics::families::kConfigGeneration, [one] { return one(1); });
  add(metrics::families::kConfigLastReload, [one] { return one(1); });
  add(metrics::families::kLogsDropped,
      [this, one] { return one(static_cast<double>(logs_->dropped_lines())); });
  add(metrics::families::kBufferBytes,
      [this, one] { return one(static_cast<double>(shared_.memory().used_bytes())); });
  add(metrics::families::kBufferLimitBytes,
      [this, one] { return one(static_cast<double>(shared_.memory().limit_bytes())); });
  add(metrics::families::kBreakerState, [this] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<breaker::Breaker>& breaker : shared_.breakers().List()) {
      samples.push_back({{breaker->id()}, AdminBackend::StateNumber(*breaker)});
    }
    return samples;
  });
  add(metrics::families::kLimiterBuckets, [this] {
    std::vector<Sample> samples;
    for (const auto& [rule, buckets] : shared_.LimiterBuckets()) {
      samples.push_back({{rule}, static_cast<double>(buckets)});
    }
    return samples;
  });
  add(metrics::families::kRetryBudget, [this] {
    std::vector<Sample> samples;
    for (const auto& [upstream, budget] : shared_.Budgets()) {
      samples.push_back({{upstream}, static_cast<double>(budget->Remaining(CoarseNow()))});
    }
    return samples;
  });
  add(metrics::families::kIdempotencyKeys, [this] {
    std::vector<Sample> samples;
    for (const auto& [state, count] : AdminBackend::KeyCounts(shared_.keys().Stats())) {
      samples.push_back({{state}, static_cast<double>(count)});
    }
    return samples;
  });
  add(metrics::families::kIdempotencyBodyBytes,
      [this, one] { return one(static_cast<double>(shared_.keys().Stats().body_bytes)); });
  add(metrics::families::kAppHealthy, [this] {
    std::vector<Sample> samples;
    for (const std::shared_ptr<const admin::AppHealth>& app : health_.Apps()) {
      samples.push_back({{app->name()}, app->is_healthy() ? 1.0 : 0.0});
    }
    return samples;
  });
}

void Process::OnTick(int worker, MonoTime now) { health_.WorkerTicked(worker, now); }

void Process::OnSignal(int number) {
  if (drain_->is_begun()) {
    logs_->shared().Warn("drain_cut_short").Int("signal", number);
    drain_->EndNow();
    return;
  }
  logs_->shared().Info("signal").Int("signal", number);
  drain_->Begin();
}

int Process::Run() {
  const auto all = [this](void (Worker::*step)()) {
    for (const std::unique_ptr<Worker>& worker : workers_) (worker.get()->*step)();
  };
  Drain::Steps steps;
  steps.on_lame_duck = [this, all] {
    logs_->shared().Info("drain_begins").Millis("timeout_ms", config_->admin.drain.timeout);
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
  drain_ = std::make_unique<Drain>(main_loop_,
                                   Drain::Times{.lame_duck = config_->admin.drain.lame_duck,
                                                .timeout = config_->admin.drain.timeout},
                                   std::move(steps));
  signal(SIGPIPE, SIG_IGN);
  for (int number : {SIGTERM, SIGINT}) {
    signals_.push_back(std::make_unique<SignalEvent>(*this, number));
  }
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
  tls_->Watch(main_loop_);
  ReleaseStartupPages();
  main_loop_.Run();
  return 0;
}

std::vector<std::string> Process::ListenerAddresses() const {
  std::vector<std::string> texts;
  for (const net::SocketAddress& address : addresses_) texts.push_back(address.ToString());
  return texts;
}

uint16_t Process::admin_port() const { return admin_->bound_port(); }

}  // namespace outrigger::server
