#include "proxy/admin/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "proxy/admin/app_stops.h"
#include "proxy/admin/loopback.h"
#include "proxy/base/time.h"

namespace outrigger::admin {
namespace {

constexpr absl::Duration kObserveInterval = absl::Milliseconds(500);
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);
constexpr absl::Duration kStopPatience = absl::Milliseconds(500);
constexpr absl::Duration kStopInterval = absl::Milliseconds(2);
constexpr int kBacklog = 128;

struct ListenerFree {
  void operator()(evconnlistener* listener) const { evconnlistener_free(listener); }
};
using ListenerPtr = std::unique_ptr<evconnlistener, ListenerFree>;

// libevent's own parser refuses port 0.
bool ParseAddress(std::string_view text, sockaddr_storage& storage, int& size) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc() || parsed != end) return false;
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof(v6);
    return inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  size = sizeof(v4);
  return inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1;
}

// Shared by the copies of one CompleteFunction: answers once, in the end with an error.
class Completion {
 public:
  using Send = std::function<void(Reply)>;

  explicit Completion(Send send) : send_(std::move(send)) {}
  ~Completion() {
    Reply reply;
    reply.status = 500;
    reply.body = "given up without an answer\n";
    Complete(std::move(reply));
  }

  void Complete(Reply reply) {
    if (!is_done_.exchange(true)) send_(std::move(reply));
  }

 private:
  const Send send_;
  std::atomic<bool> is_done_{false};
};

}  // namespace

// What lives on the admin thread. Made and destroyed elsewhere, while the thread does not run.
class Server::Core : public Connection::Owner {
 public:
  Core(HealthState& health, Backend& backend, Options options)
      : health_(health),
        options_(std::move(options)),
        app_probes_(loop_, options_.app_probes),
        app_stops_(loop_),
        endpoints_(health, backend, app_probes_, app_stops_),
        observe_timer_(loop_.NewTimer(OnObserve, this)),
        accept_timer_(loop_.NewTimer(OnAcceptAgain, this)),
        stop_timer_(loop_.NewTimer(OnStopTimer, this)),
        reap_timer_(loop_.NewTimer(OnReap, this)) {}

  ~Core() override {
    if (!thread_.joinable()) return;
    loop_.mailbox()->Post([this] { BeginStop(); });
    thread_.join();
  }

  absl::StatusOr<uint16_t> Listen(std::string_view address);
  void StartThread();
  Loop& loop() { return loop_; }
  void SetAppChecks(std::vector<AppCheckConfig> configs);
  void CheckAppsNow() {
    for (const auto& checker : checkers_) checker->CheckNow();
  }

  std::optional<Reply> OnRequest(Connection& connection, const Request& request) override;
  void OnEnd(Connection& connection) override;

 private:
  using Connections = absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>>;

  static void OnAccept(evconnlistener*, evutil_socket_t fd, sockaddr* peer, int, void* self);
  static void OnAcceptError(evconnlistener*, void* self);
  static void OnAcceptAgain(evutil_socket_t, short, void* self);
  static void OnObserve(evutil_socket_t, short, void* self);
  static void OnReap(evutil_socket_t, short, void* self);
  static void OnStopTimer(evutil_socket_t, short, void* self);

  // Closes the connection that has been idle for longest; false when all are busy.
  bool MakeRoom();
  void BeginStop();
  void StopIfQuiet();
  void ArmObserve();

  HealthState& health_;
  const Options options_;
  Loop loop_;
  AppProbes app_probes_;
  AppStops app_stops_;
  Endpoints endpoints_;
  ListenerPtr listener_;
  EventPtr observe_timer_;
  EventPtr accept_timer_;
  EventPtr stop_timer_;
  EventPtr reap_timer_;
  uint64_t next_id_ = 1;
  Connections connections_;
  std::vector<std::unique_ptr<Connection>> ended_;  // destroyed by the reap timer
  std::vector<std::unique_ptr<AppChecker>> checkers_;
  MonoTime stop_deadline_;
  std::thread thread_;
};

absl::StatusOr<uint16_t> Server::Core::Listen(std::string_view address) {
  const std::string text(address);
  sockaddr_storage storage{};
  auto* bound = reinterpret_cast<sockaddr*>(&storage);
  int size = sizeof(storage);
  if (!ParseAddress(address, storage, size)) {
    return absl::InvalidArgumentError(
        fmt::format("admin address {} is not of the form 127.0.0.1:15020 or [::1]:15020", text));
  }
  listener_.reset(evconnlistener_new_bind(
      loop_.base(), OnAccept, this,
      LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, kBacklog, bound, size));
  if (listener_ == nullptr) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {} for the admin port: {}", text, strerror(errno)));
  }
  evconnlistener_set_error_cb(listener_.get(), OnAcceptError);
  socklen_t length = sizeof(storage);
  getsockname(evconnlistener_get_fd(listener_.get()), bound, &length);
  return ntohs(storage.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

void Server::Core::StartThread() {
  ArmObserve();
  // Signals are for the main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { loop_.Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "outrigger-admin");
}

void Server::Core::OnAccept(evconnlistener*, evutil_socket_t fd, sockaddr* peer, int, void* self) {
  auto& core = *static_cast<Core*>(self);
  if (core.connections_.size() >= core.options_.max_connections && !core.MakeRoom()) {
    evutil_closesocket(fd);
    return;
  }
  const uint64_t id = core.next_id_++;
  core.connections_[id] = std::make_unique<Connection>(core.loop_, core, core.options_.limits, id,
                                                       fd, IsLoopback(*peer));
}

bool Server::Core::MakeRoom() {
  Connection* oldest = nullptr;
  for (const auto& [id, connection] : connections_) {
    if (connection->is_idle() && (oldest == nullptr || id < oldest->id())) {
      oldest = connection.get();
    }
  }
  if (oldest == nullptr) return false;
  connections_.erase(oldest->id());
  return true;
}

// Usually the limit of open files. The listener stays readable, so that trying again at once would
// only burn CPU time.
void Server::Core::OnAcceptError(evconnlistener* listener, void* self) {
  auto& core = *static_cast<Core*>(self);
  evconnlistener_disable(listener);
  const timeval pause = ToDelay(kAcceptPause);
  evtimer_add(core.accept_timer_.get(), &pause);
}

void Server::Core::OnAcceptAgain(evutil_socket_t, short, void* self) {
  auto& core = *static_cast<Core*>(self);
  if (core.listener_ != nullptr) evconnlistener_enable(core.listener_.get());
}

void Server::Core::ArmObserve() {
  const timeval interval = ToDelay(kObserveInterval);
  evtimer_add(observe_timer_.get(), &interval);
}

void Server::Core::OnObserve(evutil_socket_t, short, void* self) {
  auto& core = *static_cast<Core*>(self);
  const MonoTime now = PreciseNow();
  core.health_.Observe(now);
  if (core.options_.on_observe) core.options_.on_observe(now);
  core.ArmObserve();
}

std::optional<Reply> Server::Core::OnRequest(Connection& connection, const Request& request) {
  const auto make_complete = [this, id = connection.id()]() -> CompleteFunction {
    // The mailbox outlives this object, and closes before it goes.
    auto send = [this, id, mailbox = loop_.mailbox()](Reply reply) {
      mailbox->Post([this, id, reply = std::move(reply)] {
        if (auto found = connections_.find(id); found != connections_.end()) {
          found->second->Answer(reply);
        }
      });
    };
    auto completion = std::make_shared<Completion>(std::move(send));
    return [completion](Reply reply) { completion->Complete(std::move(reply)); };
  };
  return endpoints_.Handle(request, PreciseNow(), make_complete);
}

void Server::Core::OnEnd(Connection& connection) {
  app_probes_.OnClientLeft(connection.id());
  app_stops_.OnClientLeft(connection.id());
  auto found = connections_.find(connection.id());
  ended_.push_back(std::move(found->second));
  connections_.erase(found);
  const timeval now = ToDelay(absl::ZeroDuration());
  evtimer_add(reap_timer_.get(), &now);
}

void Server::Core::OnReap(evutil_socket_t, short, void* self) {
  auto& core = *static_cast<Core*>(self);
  core.ended_.clear();
}

void Server::Core::SetAppChecks(std::vector<AppCheckConfig> configs) {
  std::vector<std::unique_ptr<AppChecker>> old = std::exchange(checkers_, {});
  std::vector<std::shared_ptr<const AppHealth>> apps;
  for (AppCheckConfig& config : configs) {
    std::shared_ptr<AppHealth> health;
    for (const auto& checker : old) {
      if (checker->config().name == config.name && checker->config().endpoint == config.endpoint) {
        health = checker->health();
      }
    }
    if (health == nullptr) health = std::make_shared<AppHealth>(config.name, config.policy);
    health->SetPolicy(config.policy);
    apps.push_back(health);
    checkers_.push_back(std::make_unique<AppChecker>(loop_, std::move(config), std::move(health),
                                                     options_.on_app_change,
                                                     options_.on_inference));
  }
  health_.SetApps(std::move(apps));
}

void Server::Core::BeginStop() {
  listener_ = nullptr;
  checkers_.clear();
  for (const auto& [id, connection] : connections_) connection->CloseAfterReply();
  app_stops_.AnswerAll();
  stop_deadline_ = PreciseNow() + kStopPatience;
  // After the answers, which come by mail.
  loop_.mailbox()->Post([this] { StopIfQuiet(); });
}

// Looks again until replies that are on their way have been sent.
void Server::Core::StopIfQuiet() {
  const bool is_sending = std::ranges::any_of(
      connections_, [](const auto& entry) { return entry.second->is_writing(); });
  if (!is_sending || PreciseNow() >= stop_deadline_) {
    loop_.Stop();
    return;
  }
  const timeval interval = ToDelay(kStopInterval);
  evtimer_add(stop_timer_.get(), &interval);
}

void Server::Core::OnStopTimer(evutil_socket_t, short, void* self) {
  static_cast<Core*>(self)->StopIfQuiet();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(std::string_view address, HealthState& health,
                                                      Backend& backend, Options options) {
  auto core = std::make_unique<Core>(health, backend, std::move(options));
  const absl::StatusOr<uint16_t> port = core->Listen(address);
  if (!port.ok()) return port.status();
  core->StartThread();
  return std::unique_ptr<Server>(new Server(std::move(core), *port));
}

Server::Server(std::unique_ptr<Core> core, uint16_t bound_port)
    : core_(std::move(core)), bound_port_(bound_port) {}

Server::~Server() = default;

void Server::SetAppChecks(std::vector<AppCheckConfig> configs) {
  Core* core = core_.get();
  core->loop().mailbox()->Post(
      [core, configs = std::move(configs)] { core->SetAppChecks(configs); });
}

void Server::CheckAppsNow() {
  Core* core = core_.get();
  core->loop().mailbox()->Post([core] { core->CheckAppsNow(); });
}

}  // namespace outrigger::admin
