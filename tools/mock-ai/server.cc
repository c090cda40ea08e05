#include "tools/mock-ai/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "absl/status/status.h"

namespace outrigger::mock_ai {
namespace {

constexpr int kBacklog = 1024;
constexpr timeval kAcceptPause = {0, 100'000};
constexpr timeval kIdlePoll = {0, 50'000};
// An execution ends in the ledger before its last bytes are out.
constexpr int kIdlePolls = 3;

}  // namespace

Server::Server(ServerOptions options)
    : options_(std::move(options)),
      service_(options_.service, [this](bool open, Service::Connections existing) {
        return SetListening(open, existing);
      }) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options) {
  std::unique_ptr<Server> server(new Server(std::move(options)));
  if (absl::Status status = server->Setup(); !status.ok()) return status;
  return server;
}

Server::~Server() {
  connections_.clear();
  StopListener(main_);
  StopListener(admin_);
  for (event* ev : events_) event_free(ev);
  for (const int fd : {stop_fd_, post_fd_}) {
    if (fd >= 0) close(fd);
  }
  if (base_ != nullptr) event_base_free(base_);
}

absl::Status Server::Setup() {
  event_config* config = event_config_new();
  // Token times are a few milliseconds; epoll_wait alone rounds to whole ones.
  event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  stop_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  post_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (base_ == nullptr || stop_fd_ < 0 || post_fd_ < 0) {
    return absl::InternalError("the event loop did not start");
  }

  event* stop = event_new(base_, stop_fd_, EV_READ | EV_PERSIST, OnStop, this);
  event_add(stop, nullptr);
  event* posted = event_new(base_, post_fd_, EV_READ | EV_PERSIST, OnPosted, this);
  event_add(posted, nullptr);
  sweep_ = event_new(base_, -1, 0, OnSweep, this);
  resume_accept_ = event_new(base_, -1, 0, OnResumeAccept, this);
  poll_idle_ = event_new(base_, -1, EV_PERSIST, OnPollIdle, this);
  events_ = {stop, posted, sweep_, resume_accept_, poll_idle_};
  if (options_.stops_on_signals) {
    for (const int signal : {SIGTERM, SIGINT}) {
      events_.push_back(evsignal_new(base_, signal, OnSignal, this));
      event_add(events_.back(), nullptr);
    }
  }
  absl::Status status = StartListener(options_.listen, false, main_, listen_address_);
  if (status.ok() && !options_.admin.empty()) {
    status = StartListener(options_.admin, true, admin_, admin_address_);
  }
  return status;
}

absl::Status Server::StartListener(const std::string& text, bool is_admin, Listener& listener,
                                   std::string& address) {
  absl::StatusOr<Address> wanted = ParseAddress(text);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<int> fd = BindSocket(*wanted);
  if (!fd.ok()) return fd.status();
  listener.server = this;
  listener.fd = *fd;
  listener.is_admin = is_admin;
  absl::StatusOr<Address> real = LocalAddress(*fd);
  if (!real.ok()) return real.status();
  listener.address = *real;
  address = real->ToString();
  return BeginAccepting(listener);
}

absl::Status Server::BeginAccepting(Listener& listener) {
  if (listen(listener.fd, kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, "listen on " + listener.address.ToString());
  }
  listener.accepts = event_new(base_, listener.fd, EV_READ | EV_PERSIST, OnAccept, &listener);
  event_add(listener.accepts, nullptr);
  return absl::OkStatus();
}

void Server::StopListener(Listener& listener) {
  if (listener.accepts != nullptr) event_free(std::exchange(listener.accepts, nullptr));
  if (listener.fd < 0) return;
  close(std::exchange(listener.fd, -1));
  if (listener.address.is_unix()) {
    unlink(reinterpret_cast<const sockaddr_un*>(&listener.address.storage)->sun_path);
  }
}

// While closed, the port stays bound by a socket that does not listen: connections are refused and
// nobody else can get the port.
absl::Status Server::SetListening(bool open, Service::Connections existing) {
  const bool is_open = main_.accepts != nullptr;
  if (existing != Service::Connections::kKeep) {
    for (const auto& [id, connection] : connections_) {
      if (!connection->is_admin()) connection->Close(existing == Service::Connections::kReset);
    }
  }
  if (open == is_open) return absl::OkStatus();
  if (open) return BeginAccepting(main_);
  StopListener(main_);
  absl::StatusOr<int> placeholder = BindSocket(main_.address);
  if (!placeholder.ok()) return placeholder.status();
  main_.fd = *placeholder;
  return absl::OkStatus();
}

void Server::OnAccept(evutil_socket_t, short, void* listener) {
  auto* accepting = static_cast<Listener*>(listener);
  accepting->server->Accept(*accepting);
}

void Server::Accept(Listener& listener) {
  for (int i = 0; i < 64; ++i) {
    const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) {
        // The listener would be readable all the time; try again later.
        event_del(listener.accepts);
        event_add(resume_accept_, &kAcceptPause);
      }
      return;
    }
    if (!listener.address.is_unix()) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    const uint64_t id = next_connection_++;
    const Origin origin{.is_admin = listener.is_admin, .connection = id};
    ConnectionHost& host = *this;
    connections_.emplace(
        id, std::make_unique<Connection>(base_, fd, origin, options_.connections, service_, host));
  }
}

void Server::OnResumeAccept(evutil_socket_t, short, void* server) {
  auto* self = static_cast<Server*>(server);
  for (Listener* listener : {&self->main_, &self->admin_}) {
    if (listener->accepts != nullptr) event_add(listener->accepts, nullptr);
  }
}

void Server::OnClosed(uint64_t connection) {
  closed_.push_back(connection);
  event_active(sweep_, EV_TIMEOUT, 0);
}

void Server::OnSweep(evutil_socket_t, short, void* server) {
  auto* self = static_cast<Server*>(server);
  for (const uint64_t id : std::exchange(self->closed_, {})) self->connections_.erase(id);
}

void Server::OnStop(evutil_socket_t, short, void* server) {
  event_base_loopbreak(static_cast<Server*>(server)->base_);
}

void Server::OnSignal(evutil_socket_t fd, short what, void* server) {
  auto* self = static_cast<Server*>(server);
  if (!self->options_.finishes_on_signals || self->idle_polls_ >= 0) {
    OnStop(fd, what, server);
    return;
  }
  self->idle_polls_ = 0;
  // Only fails when the port cannot be kept; it is not needed again.
  (void)self->SetListening(false, Service::Connections::kKeep);
  event_add(self->poll_idle_, &kIdlePoll);
}

void Server::OnPollIdle(evutil_socket_t, short, void* server) {
  auto* self = static_cast<Server*>(server);
  self->idle_polls_ = self->service_.is_idle() ? self->idle_polls_ + 1 : 0;
  if (self->idle_polls_ >= kIdlePolls) event_base_loopbreak(self->base_);
}

void Server::Stop() {
  const uint64_t one = 1;
  // Only fails when the counter is full, and then the loop has been told already.
  [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
}

bool Server::Post(std::function<void(Service&)> task) {
  const std::lock_guard lock(mutex_);
  if (is_over_) return false;
  posted_.push_back(std::move(task));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(post_fd_, &one, sizeof(one));  // see Stop()
  return true;
}

void Server::OnPosted(evutil_socket_t fd, short, void* server) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(fd, &count, sizeof(count));
  static_cast<Server*>(server)->RunPosted(/*is_last=*/false);
}

void Server::RunPosted(bool is_last) {
  std::vector<std::function<void(Service&)>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
    is_over_ = is_last;
  }
  for (const auto& task : tasks) task(service_);
}

void Server::Run() {
  event_base_dispatch(base_);
  RunPosted(/*is_last=*/true);
  StopListener(main_);
  StopListener(admin_);
  connections_.clear();
}

std::string Server::LedgerText() const { return Dump(service_.LedgerJson()); }

std::string_view Server::Date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    std::tm parts = {};
    gmtime_r(&now, &parts);
    char text[64];
    const size_t size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    date_.assign(text, size);
  }
  return date_;
}

}  // namespace outrigger::mock_ai
