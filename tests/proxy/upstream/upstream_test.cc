// Upstream against sockets that listen in the test, on the real loop.

#include "proxy/upstream/upstream.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/net/listener.h"
#include "proxy/upstream/router.h"
#include "tests/proxy/net/support.h"

namespace outrigger::upstream {
namespace {

using http::Failure;
using http::Reason;
using Connected = Expected<ConnectionLease, Failure>;

net::SocketAddress Loopback() { return net::SocketAddress::FromIp("127.0.0.1", 0).value(); }

// Answers each read with an empty 200.
class Server {
 public:
  explicit Server(EventLoop& loop) : Server(loop, net::Listener::Open(Loopback()).value()) {}

  std::string address() const { return address_; }
  int accepted() const { return static_cast<int>(clients_.size()); }
  // Which connection, counted from 0, the last request came on.
  int last_client() const { return last_client_; }
  void CloseClients() {
    for (auto& client : clients_) client->socket.Close();
  }
  void AnswerWith(std::string_view bytes) { answer_ = bytes; }
  // Sends what nobody asked for.
  void SendToClients(std::string_view bytes) {
    for (auto& client : clients_) client->socket.Send(bytes);
  }

 private:
  struct Client final : net::SocketHandler {
    Client(Server& owner, EventLoop& loop, int fd, int number)
        : server(owner), index(number), socket(loop, fd, *this) {}
    void OnReadable() override {
      char buffer[1000];
      if (socket.Receive(buffer, sizeof buffer).status != net::IoStatus::kOk) {
        socket.Close();
        return;
      }
      server.last_client_ = index;
      socket.Send(server.answer_);
    }
    void OnWritable() override {}
    void OnPeerClosed() override { socket.Close(); }

    Server& server;
    const int index;
    net::Socket socket;
  };

  Server(EventLoop& loop, int fd)
      : address_(net::Listener::AddressOf(fd).ToString()),
        listener_(
            loop, fd,
            {.on_accept =
                 [this, &loop](int client, const net::SocketAddress&) {
                   clients_.push_back(std::make_unique<Client>(*this, loop, client, accepted()));
                 },
             .on_exhausted = [](int) {}}) {}

  const std::string address_;
  std::vector<std::unique_ptr<Client>> clients_;
  int last_client_ = -1;
  std::string answer_ = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  net::Listener listener_;
};

// A port on which nobody listens: bound and given up.
std::string RefusingAddress() {
  const net::Fd fd(net::Listener::Open(Loopback()).value());
  return net::Listener::AddressOf(fd.get()).ToString();
}

class UpstreamTest : public testing::Test {
 protected:
  ~UpstreamTest() override {
    upstream_.reset();
    loop_.RunPending();
  }

  void Make(const std::vector<std::string>& endpoints, UpstreamOptions options = {}) {
    for (const std::string& endpoint : endpoints) {
      options.endpoints.push_back({net::ParseEndpoint(endpoint).value(), absl::Milliseconds(500)});
    }
    // Slots are counted only where there is a limit.
    if (!options.max_requests.has_value()) options.max_requests = 1000;
    upstream_.emplace(loop_, pool_, random_, std::move(options), shared_);
  }

  Task<void> ConnectInto(Upstream::Need need, std::optional<Connected>& out) {
    Connected connected = co_await upstream_->Connect(need);
    out.emplace(std::move(connected));
  }
  Connected Connect(Upstream::Need need = {}) {
    std::optional<Connected> out;
    Task<void> task = ConnectInto(need, out);
    task.Start();
    if (!out.has_value()) {
      EXPECT_TRUE(net::RunUntil(loop_, [&out] { return out.has_value(); }));
    }
    return std::move(*out);
  }

  static void SendHead(http::ClientStream& stream) {
    http::HeaderList headers;
    headers.Add("Host", "test");
    EXPECT_TRUE(stream.SendHead(
        {.method = http::Method::kGet, .method_name = "GET", .target = "/", .headers = &headers}));
  }
  Task<void> Exchange(ConnectionLease& lease, int& status) {
    http::ClientStream& stream = lease.stream();
    SendHead(stream);
    stream.Finish(nullptr);
    http::HeaderList headers;
    Expected<http::ReceivedHead, Failure> head = co_await stream.ReadHead(headers, nullptr);
    status = head.ok() ? head->status : -1;
    if (!head.ok()) co_return;
    http::ChunkResult end = co_await stream.ReadBody();
    if (!end.ok()) status = -1;
  }
  // A whole exchange on the lease: afterwards its connection may be used again.
  void Use(ConnectionLease& lease) {
    int status = 0;
    Task<void> task = Exchange(lease, status);
    task.Start();
    EXPECT_TRUE(net::RunUntil(loop_, [&task] { return task.is_done(); }));
    EXPECT_EQ(status, 200);
  }
  // Connects, does an exchange, gives the connection back; true when it was a used one.
  bool UseOne(Upstream::Need need = {}) {
    Connected lease = Connect(need);
    EXPECT_TRUE(lease.ok());
    const bool is_reused = lease->is_reused();
    Use(*lease);
    return is_reused;
  }

  EventLoop loop_;
  MemoryBudget budget_{size_t{1} << 30};
  net::BufferPool pool_{budget_};
  Random random_{1};
  std::shared_ptr<SharedUpstreamState> shared_ = std::make_shared<SharedUpstreamState>();
  std::optional<Upstream> upstream_;
};

TEST_F(UpstreamTest, UsesTheConnectionAgain) {
  Server server(loop_);
  Make({server.address()});
  EXPECT_FALSE(UseOne());
  EXPECT_EQ(upstream_->idle_connections(), 1u);
  EXPECT_EQ(upstream_->active_connections(), 0u);
  EXPECT_TRUE(UseOne());
  EXPECT_EQ(server.accepted(), 1);
  EXPECT_EQ(shared_->in_flight.load(), 0);
  EXPECT_EQ(pool_.lent_blocks(), 0u);
}

TEST_F(UpstreamTest, TakesTheConnectionThatWasUsedLast) {
  Server server(loop_);
  Make({server.address()});
  {
    Connected a = Connect();
    Connected b = Connect();
    Use(*a);
    Use(*b);
    std::move(a).value().Release();
    EXPECT_EQ(upstream_->active_connections(), 1u);
    std::move(b).value().Release();
  }
  EXPECT_EQ(upstream_->idle_connections(), 2u);
  const int last = server.last_client();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(UseOne());
    EXPECT_EQ(server.last_client(), last);
  }
}

TEST_F(UpstreamTest, MakesANewConnectionWhenAsked) {
  Server server(loop_);
  Make({server.address()});
  UseOne();
  EXPECT_FALSE(UseOne({.must_be_new = true}));
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(UpstreamTest, KeepsNoMoreThanItMay) {
  Server server(loop_);
  Make({server.address()}, {.keepalive_max = 2});
  std::vector<Connected> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(Connect());
  for (Connected& lease : leases) Use(*lease);
  leases.clear();
  EXPECT_EQ(upstream_->idle_connections(), 2u);
  Make({server.address()}, {.keepalive_max = 0});
  UseOne();
  EXPECT_EQ(upstream_->idle_connections(), 0u);
}

TEST_F(UpstreamTest, LeavesConnectionsThatWereIdleForLong) {
  Server server(loop_);
  Make({server.address()}, {.keepalive_idle = absl::Milliseconds(50)});
  UseOne();
  net::RunFor(loop_, absl::Milliseconds(60));
  EXPECT_FALSE(UseOne());
  // The old one stays, to learn when the service closes it.
  EXPECT_EQ(upstream_->idle_connections(), 2u);
}

TEST_F(UpstreamTest, RequestsThatMayNotRunTwiceUseOnlyFreshConnections) {
  Server server(loop_);
  Make({server.address()});
  UseOne();
  EXPECT_TRUE(UseOne({.may_run_twice = false}));
  net::RunFor(loop_, absl::Milliseconds(510));
  EXPECT_FALSE(UseOne({.may_run_twice = false}));
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(UpstreamTest, ForgetsIdleConnectionsThatTheServiceCloses) {
  Server server(loop_);
  Make({server.address()});
  UseOne();
  server.CloseClients();
  EXPECT_TRUE(net::RunUntil(loop_, [this] { return upstream_->idle_connections() == 0; }));
  EXPECT_FALSE(UseOne());
  upstream_->CloseIdle();
  EXPECT_EQ(upstream_->idle_connections(), 0u);
}

// RFC 9112, 9.2: what comes while nothing was asked is no answer, and must not become that of the
// next request.
TEST_F(UpstreamTest, LeavesAConnectionOnWhichTheServiceSpeaksUnasked) {
  for (const std::string_view bytes :
       {"H", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"}) {
    Server server(loop_);
    upstream_.reset();
    Make({server.address()});
    UseOne();
    server.SendToClients(bytes);
    EXPECT_TRUE(net::RunUntil(loop_, [this] { return upstream_->idle_connections() == 0; }));
    EXPECT_FALSE(UseOne()) << bytes;
    EXPECT_EQ(server.accepted(), 2);
    upstream_.reset();
    loop_.RunPending();
  }
}

// An answer and something behind it, both here before the first was read to its end.
TEST_F(UpstreamTest, KeepsNoConnectionWithBytesBehindTheAnswer) {
  Server server(loop_);
  Make({server.address()});
  {
    Connected lease = Connect();
    server.AnswerWith("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    Use(*lease);
  }
  EXPECT_EQ(upstream_->idle_connections(), 0u);
  EXPECT_FALSE(UseOne());
}

TEST_F(UpstreamTest, ClosesAConnectionWhoseExchangeWasCutShort) {
  Server server(loop_);
  Make({server.address()});
  {
    Connected lease = Connect();
    SendHead(lease->stream());
  }
  EXPECT_EQ(upstream_->idle_connections(), 0u);
  EXPECT_EQ(upstream_->active_connections(), 0u);
}

TEST_F(UpstreamTest, SaysThatAConnectionWasRefused) {
  Make({RefusingAddress()});
  const Connected lease = Connect();
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(lease.error().reason, Reason::kConnectFail);
  EXPECT_EQ(lease.error().phase, http::Phase::kConnect);
  EXPECT_EQ(lease.error().executed, http::Executed::kNo);
  EXPECT_EQ(shared_->in_flight.load(), 0);
  // The only endpoint is never ejected.
  EXPECT_EQ(upstream_->ejected_endpoints(), 0u);
  EXPECT_FALSE(upstream_->is_ejected(0));
}

TEST_F(UpstreamTest, GivesUpAConnectThatTakesTooLong) {
  // With its backlog full, the kernel leaves further attempts unanswered.
  const net::Fd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const net::SocketAddress any = Loopback();
  ASSERT_EQ(bind(silent.get(), any.get(), any.length()), 0);
  ASSERT_EQ(listen(silent.get(), 0), 0);
  const net::SocketAddress address = net::Listener::AddressOf(silent.get());
  std::vector<net::Fd> fillers;
  for (int i = 0; i < 4; ++i) fillers.emplace_back(net::StartConnect(address));
  net::RunFor(loop_, absl::Milliseconds(5));

  UpstreamOptions options;
  options.endpoints.push_back(
      {net::ParseEndpoint(address.ToString()).value(), absl::Milliseconds(40)});
  Make({}, options);
  const MonoTime start = loop_.PreciseNow();
  const Connected lease = Connect();
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(lease.error().reason, Reason::kConnectFail);
  EXPECT_GE(loop_.PreciseNow() - start, absl::Milliseconds(35));
  EXPECT_EQ(shared_->in_flight.load(), 0);
  EXPECT_EQ(loop_.armed_timers(), 0u);

  // Dropped in the middle of the attempt.
  std::optional<Connected> out;
  Task<void> task = ConnectInto({}, out);
  task.Start();
  EXPECT_EQ(shared_->in_flight.load(), 1);
  EXPECT_EQ(upstream_->active_connections(), 1u);
  task.Reset();
  EXPECT_FALSE(out.has_value());
  EXPECT_EQ(shared_->in_flight.load(), 0);
  EXPECT_EQ(upstream_->active_connections(), 0u);
}

TEST_F(UpstreamTest, EjectsAnEndpointThatRefuses) {
  Server server(loop_);
  Make({RefusingAddress(), server.address()}, {.balance = Balance::kRoundRobin});
  int failures = 0;
  for (int i = 0; i < 10; ++i) {
    const Connected lease = Connect({.must_be_new = true});
    failures += lease.ok() ? 0 : 1;
  }
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(upstream_->ejected_endpoints(), 1u);
  EXPECT_TRUE(upstream_->is_ejected(0));
  EXPECT_FALSE(upstream_->is_ejected(1));
}

TEST_F(UpstreamTest, ShortageOfDescriptorsIsNoFaultOfTheEndpoint) {
  if (net::kHasUbsan) GTEST_SKIP() << "UBSan looks at objects through a pipe";
  Server a(loop_), b(loop_);
  Make({a.address(), b.address()}, {.balance = Balance::kRoundRobin});
  {
    const net::NoDescriptors none;
    for (int i = 0; i < 4; ++i) {
      const Connected lease = Connect();
      ASSERT_FALSE(lease.ok());
      EXPECT_EQ(lease.error().reason, Reason::kConcurrency);
      EXPECT_EQ(lease.error().phase, http::Phase::kLocal);
      EXPECT_FALSE(lease.error().detail.empty());
    }
  }
  EXPECT_EQ(upstream_->ejected_endpoints(), 0u);
  EXPECT_EQ(upstream_->active_connections(), 0u);
  EXPECT_EQ(shared_->in_flight.load(), 0);
  EXPECT_TRUE(Connect().ok());
}

TEST_F(UpstreamTest, TriesTheEndpointThatComesBackFirstWhenAllAreEjected) {
  // Refuses as long as it is bound but does not listen.
  const net::Fd first(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const net::SocketAddress any = Loopback();
  ASSERT_EQ(bind(first.get(), any.get(), any.length()), 0);
  Make({net::Listener::AddressOf(first.get()).ToString(), RefusingAddress()},
       {.balance = Balance::kRoundRobin});
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(Connect().ok());
  EXPECT_EQ(upstream_->ejected_endpoints(), 2u);
  ASSERT_EQ(listen(first.get(), 10), 0);
  EXPECT_TRUE(Connect().ok());
  EXPECT_EQ(upstream_->ejected_endpoints(), 1u);
}

TEST_F(UpstreamTest, SpreadsRequestsOverEndpoints) {
  for (Balance balance : {Balance::kRoundRobin, Balance::kLeastRequest}) {
    Server a(loop_);
    Server b(loop_);
    Make({a.address(), b.address()}, {.balance = balance});
    std::vector<Connected> leases;
    for (int i = 0; i < 20; ++i) leases.push_back(Connect());
    EXPECT_TRUE(net::RunUntil(loop_, [&] { return a.accepted() + b.accepted() == 20; }));
    EXPECT_GE(a.accepted(), 5);
    EXPECT_GE(b.accepted(), 5);
    leases.clear();
    upstream_.reset();
    loop_.RunPending();
  }
}

TEST_F(UpstreamTest, LimitsRequestsOfAllWorkersTogether) {
  Server server(loop_);
  Make({server.address()}, {.max_requests = 3});
  std::vector<Connected> leases;
  for (int i = 0; i < 2; ++i) leases.push_back(Connect());
  shared_->in_flight.fetch_add(1);  // of another worker
  const Connected refused = Connect();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kConcurrency);
  EXPECT_EQ(refused.error().phase, http::Phase::kLocal);
  EXPECT_EQ(shared_->in_flight.load(), 3);
  leases.pop_back();
  EXPECT_TRUE(Connect().ok());
  EXPECT_EQ(shared_->in_flight.load(), 2);
}

TEST_F(UpstreamTest, HasNoHealthyEndpointUntilANameIsKnown) {
  Server server(loop_);
  Make({"app.test:80"});
  const Connected unknown = Connect();
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().reason, Reason::kNoHealthyUpstream);
  EXPECT_EQ(shared_->in_flight.load(), 0);
  upstream_->SetAddresses(0, {net::ParseEndpoint(server.address())->address});
  EXPECT_TRUE(Connect().ok());
}

TEST_F(UpstreamTest, ALeaseIsGivenBackOnceWhenMoved) {
  Server server(loop_);
  Make({server.address()});
  ConnectionLease empty;
  {
    Connected lease = Connect();
    ConnectionLease moved = std::move(lease).value();
    empty = std::move(moved);
  }
  EXPECT_EQ(upstream_->active_connections(), 1u);
  empty = ConnectionLease();
  EXPECT_EQ(upstream_->active_connections(), 0u);
  empty.Release();
  EXPECT_EQ(shared_->in_flight.load(), 0);
}

class RouterTest : public UpstreamTest {
 protected:
  RouterTest() {
    request_.arena = &arena_;
    request_.method = http::Method::kPost;
    request_.method_name = "POST";
    request_.target = request_.path = "/v1/test";
    request_.authority = "test";
    request_.id = "id";
  }
  Task<void> Call(Router& router, std::optional<http::Result>& out) {
    http::Result result = co_await router.Call(request_, chain::Next(nullptr));
    out.emplace(std::move(result));
  }

  Arena arena_;
  http::Request request_;
};

TEST_F(RouterTest, AttemptThatIsDroppedBeforeItsHeadMayHaveBeenExecuted) {
  const int fd = net::Listener::Open(Loopback()).value();
  std::vector<net::Fd> clients;  // that are never answered
  net::Listener silent(
      loop_, fd,
      {.on_accept = [&clients](int client,
                               const net::SocketAddress&) { clients.emplace_back(client); },
       .on_exhausted = [](int) {}});
  Make({net::Listener::AddressOf(fd).ToString()});
  Router router(loop_, *upstream_, nullptr, "via");
  std::optional<http::Result> out;
  Task<void> task = Call(router, out);
  task.Start();
  EXPECT_EQ(request_.executed, http::Executed::kNo);
  ASSERT_TRUE(net::RunUntil(loop_, [this] { return request_.was_dispatched; }));
  task.Reset();
  EXPECT_EQ(request_.executed, http::Executed::kMaybe);
}

TEST_F(RouterTest, AttemptThatIsDroppedWhileItConnectsWasNotExecuted) {
  const net::Fd full(net::Listener::Open(Loopback()).value());
  Make({net::Listener::AddressOf(full.get()).ToString()});
  Router router(loop_, *upstream_, nullptr, "via");
  std::optional<http::Result> out;
  Task<void> task = Call(router, out);
  task.Start();
  task.Reset();
  EXPECT_EQ(request_.executed, http::Executed::kNo);
}

TEST_F(RouterTest, HeadThatHasComeLeavesTheVerdictToOthers) {
  Server server(loop_);
  Make({server.address()});
  Router router(loop_, *upstream_, nullptr, "via");
  std::optional<http::Result> out;
  Task<void> task = Call(router, out);
  task.Start();
  ASSERT_TRUE(net::RunUntil(loop_, [&out] { return out.has_value(); }));
  EXPECT_EQ(request_.executed, http::Executed::kNo);
}

}  // namespace
}  // namespace outrigger::upstream
