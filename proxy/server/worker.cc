#include "proxy/server/worker.h"

#include <random>
#include <utility>

#include "proxy/metrics/descriptors.h"

namespace outrigger::server {
namespace {

constexpr absl::Duration kHeartbeatPeriod = absl::Seconds(1);
// Of the idempotency keys whose time is over, besides those that requests expire in passing.
constexpr size_t kKeysSweptPerBeat = 1000;

uint64_t SeedOf(int index) {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32 | device()) + static_cast<uint64_t>(index);
}

}  // namespace

class Worker::Heartbeat final : public Timer {
 public:
  explicit Heartbeat(Worker& worker) : Timer(worker.loop_), worker_(worker) {}
  void Beat() { OnTimer(); }

 private:
  void OnTimer() override {
    worker_.process_.on_tick(worker_.index_, PreciseNow());
    worker_.process_.shared.keys().Sweep(loop().Now(), kKeysSweptPerBeat);
    worker_.upstreams_.Observe();
    worker_.LookAtRetired();
    Arm(loop().Now() + kHeartbeatPeriod);
  }

  Worker& worker_;
};

Worker::Worker(int index, const ProcessParts& process)
    : index_(index),
      process_(process),
      random_(SeedOf(index)),
      pool_(process.shared.memory()),
      timeouts_(loop_),
      metrics_(process.registry.AddWorker()),
      refused_tenants_(process.registry, metrics_, metrics::families::kLimiterTenantRejections,
                       process.standard_metrics.tenants),
      log_(process.logs.NewLogger()),
      identity_(random_),
      handshakes_(process.registry, metrics_, log_),
      upstream_parts_{.loop = loop_,
                      .pool = pool_,
                      .random = random_,
                      .registry = process.registry,
                      .metrics = metrics_,
                      .standard_metrics = process.standard_metrics,
                      .log = log_,
                      .shared = process.shared,
                      .handshakes = handshakes_,
                      .via_name = process.via_name},
      upstreams_(upstream_parts_),
      executions_(loop_, process.shared.detached_executions()),
      probers_(loop_, random_, log_, metrics_, process.standard_metrics),
      listener_parts_{.loop = loop_,
                      .pool = pool_,
                      .timeouts = timeouts_,
                      .metrics = metrics_,
                      .standard_metrics = process.standard_metrics,
                      .log = log_,
                      .identity = identity_,
                      .budget = process.shared.memory(),
                      .via_name = process.via_name,
                      .handshakes = handshakes_,
                      .refuses_requests = refuses_requests_,
                      .active_requests = active_requests_,
                      .open_connections = open_connections_},
      heartbeat_(std::make_unique<Heartbeat>(*this)) {}

Worker::~Worker() {
  Join();
  probers_.Stop();
  // In the loop's absence: connections first, then whatever they handed to it; then what holds the
  // chains, which go through the loop as well.
  ForEachConnection([](http::DownstreamConnection& connection) { connection.CloseNow(); });
  executions_.CancelAll();
  loop_.RunPending();
  retired_.clear();
  listeners_.clear();
  loop_.RunPending();
}

void Worker::Adopt(WorkerConfig next) {
  upstreams_.Adopt(*next.config, next.tls);
  probers_.Stop();  // they are added again with their chains
  const chain::ChainParts parts{
      .loop = loop_,
      .timeouts = timeouts_,
      .random = random_,
      .metrics = metrics_,
      .standard_metrics = process_.standard_metrics,
      .log = log_,
      .shared = process_.shared,
      .executions = executions_,
      .new_router = [this](const std::string& name) { return upstreams_.NewRouter(name); },
      .refused_tenants = &refused_tenants_,
      // One for the whole process: probes are single-flight (BR-4).
      .probers = index_ == 0 ? &probers_ : nullptr};
  AdoptListeners(next, ReleasedByLoop(loop_, BuildChains(next.config, parts)));
}

void Worker::AdoptListeners(WorkerConfig& next,
                            std::shared_ptr<const chain::ChainSnapshot> snapshot) {
  std::vector<std::unique_ptr<WorkerListener>> before = std::exchange(listeners_, {});
  for (size_t i = 0; i < next.listeners.size(); ++i) {
    ListenerOrigin& origin = next.listeners[i];
    const bool is_kept = origin.kept.has_value();
    listeners_.push_back(is_kept ? std::move(before[*origin.kept])
                                 : std::make_unique<WorkerListener>(listener_parts_));
    listeners_[i]->Adopt(i, snapshot, next.tls.listeners[i]);
    if (!is_kept) listeners_[i]->Open(origin.fd.Release());
  }
  const MonoTime drain_at = loop_.Now() + next.config->admin.drain.lame_duck;
  for (std::unique_ptr<WorkerListener>& left : before) {
    if (left == nullptr) continue;
    left->StopAccepting();
    left->AnnounceDrain();
    retired_.push_back({std::move(left), drain_at});
  }
}

void Worker::LookAtRetired() {
  for (Retired& retired : retired_) {
    if (loop_.Now() >= retired.drain_at) {
      retired.drain_at = MonoTime::Infinite();
      retired.listener->Drain();
    }
    retired.idle_beats = retired.listener->has_connections() ? 0 : retired.idle_beats + 1;
  }
  // A connection that ended in this turn is still there until its end.
  std::erase_if(retired_, [](const Retired& retired) { return retired.idle_beats > 1; });
}

template <class Visit>
void Worker::ForEachListener(Visit visit) {
  for (const std::unique_ptr<WorkerListener>& listener : listeners_) visit(*listener);
  for (const Retired& retired : retired_) visit(*retired.listener);
}

template <class Visit>
void Worker::ForEachConnection(Visit visit) {
  ForEachListener([&visit](WorkerListener& listener) { listener.ForEachConnection(visit); });
}

void Worker::Start() {
  thread_ = std::thread([this] {
    heartbeat_->Beat();
    loop_.Run();
  });
}

void Worker::AdoptLater(WorkerConfig next, std::function<void()> done) {
  loop_.Post([this, next = std::move(next), done = std::move(done)]() mutable {
    Adopt(std::move(next));
    done();
  });
}

void Worker::BeginDrain() {
  loop_.Post([this] {
    // The memory store dies with the process: nobody could ever ask for their answers (ID-12).
    executions_.CancelDetached();
    probers_.Stop();
    ForEachListener([](WorkerListener& listener) { listener.AnnounceDrain(); });
  });
}

void Worker::RefuseNew() {
  loop_.Post([this] {
    refuses_requests_ = true;
    ForEachListener([](WorkerListener& listener) { listener.Drain(); });
    has_refused_.store(true, std::memory_order_release);
  });
}

void Worker::CloseAll() {
  loop_.Post([this] {
    ForEachConnection([](http::DownstreamConnection& connection) { connection.Shutdown(); });
  });
}

void Worker::Join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace outrigger::server
