#include "tests/fuzz/listener.h"

#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/event/event_loop.h"
#include "proxy/http/body.h"
#include "proxy/http1/server_connection.h"
#include "proxy/http2/server_connection.h"
#include "proxy/net/address.h"
#include "proxy/tls/server_context.h"
#include "tests/proxy/tls/authority.h"

namespace outrigger::fuzz {
namespace {

constexpr absl::Duration kNever = absl::Hours(1);
constexpr size_t kBudgetBytes = 64 << 20;
// Turns of the loop that a connection may take for a piece or its end.
constexpr int kMaxTurns = 200;

// Answers a request with its own body, trailers included; a tunnel sends back what it receives.
class Echo final : public http::StreamHandler {
 public:
  explicit Echo(size_t& requests) : requests_(requests) { request_.arena = &arena_; }
  ~Echo() override { task_.Reset(); }

  http::Request& request() override { return request_; }
  void Start(http::ServerStream& stream) override {
    ++requests_;
    stream_ = &stream;
    task_ = Run();
    task_.Start();
  }
  void OnClientGone() override { task_.Reset(); }
  void OnShutdown() override {
    task_.Reset();
    if (!stream_->is_head_sent()) SendHead(503, false);
    stream_->Abort();
  }

 private:
  void SendHead(int status, bool has_body) {
    headers_.Add("x-target", request_.target);
    stream_->SendHead({.status = status, .headers = &headers_, .has_body = has_body});
  }

  Task<void> Run() {
    std::unique_ptr<http::Body> tunnel;
    if (!request_.upgrade.empty()) {
      tunnel = stream_->StartTunnel({.status = 101, .headers = &headers_, .has_body = true});
    }
    http::Body* const body = tunnel != nullptr ? tunnel.get() : request_.body.get();
    if (body == nullptr) {
      SendHead(204, false);
      stream_->Finish(nullptr);
      co_return;
    }
    if (tunnel == nullptr) SendHead(200, true);
    for (;;) {
      http::ChunkResult chunk = co_await body->Read();
      if (!chunk.ok()) {
        stream_->Abort();
        co_return;
      }
      stream_->SendData(chunk->data, chunk->is_last);
      if (chunk->is_last) break;
      while (stream_->pending_bytes() > 0) co_await stream_->drained().Wait();
    }
    stream_->Finish(tunnel != nullptr ? nullptr : body->trailers());
  }

  size_t& requests_;
  Arena arena_;
  http::Request request_;
  http::HeaderList headers_;
  http::ServerStream* stream_ = nullptr;
  Task<void> task_;
};

struct Handlers final : http::StreamHandlerFactory {
  std::unique_ptr<http::StreamHandler> NewHandler() override {
    return std::make_unique<Echo>(requests);
  }
  Rejection Reject(http::Reason reason, std::string_view, bool, Arena&,
                   http::HeaderList&) override {
    ++rejections;
    return {.status = reason == http::Reason::kRequestTimeout ? 408 : 400, .body = "refused"};
  }
  bool is_draining() const override { return false; }

  size_t requests = 0;
  size_t rejections = 0;
};

struct NoObserver final : tls::SessionObserver {
  void OnHandshake(tls::HandshakeOutcome, std::string_view, int) override {}
};

}  // namespace

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

class Listener::State final : public http1::Http2Acceptor {
 public:
  explicit State(Port port)
      : port_(port),
        never_(loop_, kNever),
        http2_context_{.listener = context_,
                       .on_flood = [](std::string_view, std::string_view) {}} {
    context_.loop = &loop_;
    context_.pool = &pool_;
    context_.handlers = &handlers_;
    context_.upgrades = &upgrades_;
    if (port == Port::kAuto || port == Port::kTls) context_.http2 = this;
    context_.max_body_bytes = 1 << 20;
    context_.header_timeouts = context_.body_idle_timeouts = context_.write_idle_timeouts = &never_;
    context_.idle_timeouts = context_.linger_timeouts = &never_;
    if (port == Port::kTls || port == Port::kTlsHttp2) MakeTls();
  }
  ~State() override { loop_.RunPending(); }

  std::string Feed(std::string_view bytes, uint64_t seed) {
    Random random(seed);
    context_.allow_half_close = random.Below(2) == 0;
    handlers_.requests = 0;
    int fds[2];
    Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0,
            "no pair");
    const size_t before = budget_.used_bytes();
    is_open_ = true;
    Open(fds[0]);
    std::string received;
    while (!bytes.empty() && is_open_) {
      const size_t most = random.Below(4) == 0 ? 1 + random.Below(16) : 1 + random.Below(4096);
      const std::string_view piece = bytes.substr(0, std::min(most, bytes.size()));
      const ssize_t sent = send(fds[1], piece.data(), piece.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
      if (sent < 0 && errno != EAGAIN) break;
      Turn(fds[1], received);
    }
    // A client that waits is told, one that leaves is not.
    if (random.Below(2) == 0) shutdown(fds[1], SHUT_WR);
    for (int turn = 0; turn < 8; ++turn) Turn(fds[1], received);
    close(fds[1]);
    for (int turn = 0; is_open_ && turn < kMaxTurns; ++turn) RunTurn();
    // One that waits for a window, after the client has closed its side, ends by a time limit.
    Require(!is_open_ || context_.allow_half_close, "the connection does not end");
    connections_.ForEach([](http::DownstreamConnection::Membership& membership) {
      membership.connection.CloseNow();
    });
    Require(!is_open_, "the connection does not close");
    loop_.RunPending();
    Require(budget_.used_bytes() <= before + kKeptBytes, "memory is left");
    return received;
  }
  size_t requests() const { return handlers_.requests; }

  // http1::Http2Acceptor
  void Accept(http1::Http2Handover handover) override {
    auto* connection =
        new http2::ServerConnection(http2_context_, handover.fd, std::move(handover.peer_host),
                                    std::move(handover.on_closed), std::move(handover.session));
    connections_.PushBack(connection->membership);
    connection->Start(handover.received);
  }

 private:
  // What the pool keeps for the next connection.
  static constexpr size_t kKeptBytes = 4 << 20;

  void MakeTls() {
    const tls::Issued issued = tls::Authority("ca").Issue({});
    tls::ServerOptions options;
    options.files = {.cert = folder_.Write("crt", issued.cert),
                     .key = folder_.Write("key", issued.key)};
    options.offers_http1 = port_ == Port::kTls;
    options.offers_http2 = true;
    tls_ = std::make_unique<tls::ServerContext>(std::move(options));
    Require(tls_->Load().ok(), "no certificate");
  }

  void Open(int fd) {
    std::unique_ptr<net::SecureSession> session;
    if (tls_ != nullptr) session = tls_->NewSession(fd, observer_);
    const auto on_closed = [this] { is_open_ = false; };
    if (port_ == Port::kHttp2 || port_ == Port::kTlsHttp2) {
      Accept({.fd = fd,
              .session = std::move(session),
              .peer_host = {},
              .received = {},
              .on_closed = on_closed});
      return;
    }
    auto* connection = new http1::ServerConnection(context_, fd, net::SocketAddress(), on_closed,
                                                   std::move(session));
    connections_.PushBack(connection->membership);
  }

  void RunTurn() {
    loop_.RunOnce();
    loop_.RunPending();
  }
  void Turn(int fd, std::string& received) {
    RunTurn();
    char buffer[16 * 1024];
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      received.append(buffer, static_cast<size_t>(n));
    }
  }

  const Port port_;
  EventLoop loop_;
  MemoryBudget budget_{kBudgetBytes};
  net::BufferPool pool_{budget_};
  Handlers handlers_;
  const std::vector<std::string> upgrades_{"websocket"};
  DeadlineQueue never_;
  tls::Folder folder_;
  std::unique_ptr<tls::ServerContext> tls_;
  NoObserver observer_;
  http1::ServerContext context_;
  http2::ServerContext http2_context_;
  IntrusiveList<http::DownstreamConnection::Membership> connections_;  // they own themselves
  bool is_open_ = false;
};

Listener::Listener(Port port) : state_(std::make_unique<State>(port)) {}
Listener::~Listener() = default;

std::string Listener::Feed(std::string_view bytes, uint64_t seed) {
  return state_->Feed(bytes, seed);
}

size_t Listener::requests() const { return state_->requests(); }

}  // namespace outrigger::fuzz
