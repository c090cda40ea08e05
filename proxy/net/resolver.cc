#include "proxy/net/resolver.h"

#include <event2/event.h>
#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace outrigger::net {
namespace {

constexpr int kTryTimeoutMs = 2000;
constexpr int kTries = 2;

// c-ares wants its global state made once for the process.
void InitLibrary() {
  static const int result = ares_library_init(ARES_LIB_INIT_ALL);
  if (result != ARES_SUCCESS) std::abort();
}

Resolver::Answer ToAnswer(const std::string& name, uint16_t port, int status,
                          const ares_addrinfo* info) {
  Resolver::Answer answer;
  if (status != ARES_SUCCESS) {
    answer.status =
        absl::UnavailableError(fmt::format("cannot resolve {}: {}", name, ares_strerror(status)));
    return answer;
  }
  int ttl = INT32_MAX;
  for (const ares_addrinfo_node* node = info->nodes; node != nullptr; node = node->ai_next) {
    sockaddr_storage storage{};
    std::copy_n(reinterpret_cast<const char*>(node->ai_addr), node->ai_addrlen,
                reinterpret_cast<char*>(&storage));
    if (node->ai_family == AF_INET) {
      reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
    } else if (node->ai_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
    } else {
      continue;
    }
    answer.addresses.emplace_back(reinterpret_cast<const sockaddr*>(&storage),
                                  static_cast<socklen_t>(node->ai_addrlen));
    ttl = std::min(ttl, node->ai_ttl);
  }
  if (answer.addresses.empty()) {
    answer.status = absl::NotFoundError(fmt::format("{} has no address", name));
  } else {
    answer.ttl = absl::Seconds(std::max(0, ttl));
  }
  return answer;
}

}  // namespace

// Outlives the query: c-ares calls back exactly once, sooner or later.
struct Resolver::Query::State {
  EventLoop& loop;
  std::string name;
  uint16_t port;
  Callback callback;  // empty: nobody waits any more
};

Resolver::Query::~Query() { state_->callback = nullptr; }

class Resolver::SocketWatch {
 public:
  SocketWatch(Resolver& resolver, ares_socket_t socket, bool reads, bool writes)
      : resolver_(resolver), socket_(socket) {
    const short what = static_cast<short>((reads ? EV_READ : 0) | (writes ? EV_WRITE : 0));
    event_ = event_new(
        resolver.loop_.base(), socket, static_cast<short>(what | EV_PERSIST),
        [](evutil_socket_t, short events, void* self) {
          auto* watch = static_cast<SocketWatch*>(self);
          // Processing may destroy the watch.
          const ares_socket_t fd = watch->socket_;
          watch->resolver_.Process((events & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
                                   (events & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
        },
        this);
    event_add(event_, nullptr);
  }
  ~SocketWatch() { event_free(event_); }
  SocketWatch(const SocketWatch&) = delete;
  SocketWatch& operator=(const SocketWatch&) = delete;

  ares_socket_t socket() const { return socket_; }

 private:
  Resolver& resolver_;
  const ares_socket_t socket_;
  event* event_;
};

class Resolver::TimeoutTimer final : public Timer {
 public:
  explicit TimeoutTimer(Resolver& resolver) : Timer(resolver.loop_), resolver_(resolver) {}

 private:
  void OnTimer() override { resolver_.Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }
  Resolver& resolver_;
};

Resolver::Resolver(EventLoop& loop) : loop_(loop), timer_(std::make_unique<TimeoutTimer>(*this)) {
  InitLibrary();
  ares_options options{};
  options.timeout = kTryTimeoutMs;
  options.tries = kTries;
  options.sock_state_cb = [](void* self, ares_socket_t socket, int reads, int writes) {
    static_cast<Resolver*>(self)->OnSocketState(socket, reads != 0, writes != 0);
  };
  options.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  if (ares_init_options(&channel_, &options, mask) != ARES_SUCCESS) channel_ = nullptr;
}

Resolver::~Resolver() {
  if (channel_ != nullptr) ares_destroy(channel_);
}

std::unique_ptr<Resolver::Query> Resolver::Resolve(const std::string& name, uint16_t port,
                                                   Callback callback) {
  auto state = std::make_shared<Query::State>(Query::State{loop_, name, port, std::move(callback)});
  std::unique_ptr<Query> query(new Query(state));
  const auto deliver = [](const std::shared_ptr<Query::State>& to, Answer answer) {
    // Through the loop: a name in the hosts file is answered before Resolve() returns.
    to->loop.Post([to, answer = std::move(answer)]() mutable {
      if (to->callback) std::exchange(to->callback, nullptr)(std::move(answer));
    });
  };
  if (channel_ == nullptr) {
    deliver(state, {.status = absl::UnavailableError("no resolver could be set up")});
    return query;
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  auto* pending = new std::pair(state, deliver);
  ares_getaddrinfo(
      channel_, name.c_str(), nullptr, &hints,
      [](void* raw, int status, int, ares_addrinfo* info) {
        auto* waiting = static_cast<decltype(pending)>(raw);
        const std::shared_ptr<Query::State>& to = waiting->first;
        waiting->second(to, ToAnswer(to->name, to->port, status, info));
        if (info != nullptr) ares_freeaddrinfo(info);
        delete waiting;
      },
      pending);
  ArmTimeout();
  return query;
}

void Resolver::OnSocketState(ares_socket_t socket, bool reads, bool writes) {
  std::erase_if(watches_, [socket](const std::unique_ptr<SocketWatch>& watch) {
    return watch->socket() == socket;
  });
  if (reads || writes) {
    watches_.push_back(std::make_unique<SocketWatch>(*this, socket, reads, writes));
  }
}

void Resolver::Process(ares_socket_t read, ares_socket_t write) {
  ares_process_fd(channel_, read, write);
  ArmTimeout();
}

void Resolver::ArmTimeout() {
  timeval longest{3600, 0};
  timeval buffer{};
  const timeval* wait = ares_timeout(channel_, &longest, &buffer);
  if (wait == &longest) {
    timer_->Disarm();  // nothing is pending
    return;
  }
  timer_->Arm(loop_.Now() + absl::DurationFromTimeval(*wait) + absl::Milliseconds(1));
}

}  // namespace outrigger::net
