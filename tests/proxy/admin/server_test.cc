#include "proxy/admin/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "proxy/admin/loopback.h"
#include "proxy/base/time.h"
#include "tests/proxy/admin/fake_backend.h"
#include "tests/proxy/admin/sockets.h"

namespace outrigger::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ServerTest : public ::testing::Test {
 protected:
  void Start(Server::Options options = {}) {
    auto started = Server::Start("127.0.0.1:0", health, backend, std::move(options));
    ASSERT_TRUE(started.ok()) << started.status();
    server = std::move(*started);
  }
  std::string Fetch(const std::string& line, const std::string& body = "") {
    Client client(server->bound_port());
    client.Send(line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.ReadToEnd();
  }

  HealthState health{{.workers = 1, .started_at = PreciseNow()}};
  FakeBackend backend;
  std::unique_ptr<Server> server;
};

TEST_F(ServerTest, AnswersEachEndpoint) {
  Start();
  EXPECT_THAT(Fetch("GET /livez"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(Fetch("GET /readyz"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(Fetch("GET /startupz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Fetch("GET /metrics"), HasSubstr("\r\n\r\noutrigger_up 1\n"));
  EXPECT_THAT(Fetch("GET /config"), HasSubstr("workers: 1"));
  EXPECT_THAT(Fetch("GET /breakers"), HasSubstr("app:8000/chat"));
  EXPECT_THAT(Fetch("POST /breakers/app:8000/chat:open"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Fetch("GET /idempotency"), HasSubstr("\"done\": 3"));
  EXPECT_THAT(Fetch("DELETE /idempotency/abcd"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Fetch("POST /drain"), StartsWith("HTTP/1.1 202 Accepted\r\n"));
  EXPECT_THAT(Fetch("PUT /log-level", "debug"), HasSubstr("\r\n\r\ndebug\n"));
  EXPECT_THAT(Fetch("GET /log-level"), HasSubstr("\r\n\r\ndebug\n"));
  EXPECT_THAT(Fetch("GET /nothing"), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(Fetch("PUT /livez"), HasSubstr("\r\nAllow: GET, HEAD\r\n"));
}

TEST_F(ServerTest, SendsNoBodyForHead) {
  Start();
  const std::string reply = Fetch("HEAD /metrics");
  EXPECT_THAT(reply, HasSubstr("Content-Length: 15\r\n"));
  EXPECT_TRUE(reply.ends_with("\r\n\r\n")) << reply;
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrderOnOneConnection) {
  Start();
  Client client(server->bound_port());
  client.Send(
      "GET /livez HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n"
      "GET /config HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string replies = client.ReadToEnd();
  const size_t first = replies.find("ok\n");
  const size_t second = replies.find("outrigger_up 1\n");
  const size_t third = replies.find("workers: 1\n");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos);
}

TEST_F(ServerTest, RefusesMalformedRequestsAndCloses) {
  Start();
  Client client(server->bound_port());
  client.Send("GET /livez\r\n\r\n" + std::string(1000, 'x'));
  const std::string reply = client.ReadToEnd();
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
}

TEST_F(ServerTest, RefusesBodiesThatAreTooLargeWithoutReadingThem) {
  Start();
  Client client(server->bound_port());
  client.Send("PUT /log-level HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, AnswersAWaitingDrainFromAnotherThread) {
  Start();
  Client client(server->bound_port());
  client.Send("POST /drain?wait&timeout=5s HTTP/1.1\r\n\r\n");
  std::function<void()> drained;
  while (!drained) {
    std::this_thread::yield();
    std::lock_guard lock(backend.mutex);
    drained = std::exchange(backend.drained, nullptr);
  }
  // Other clients are served meanwhile.
  EXPECT_THAT(Fetch("GET /livez"), StartsWith("HTTP/1.1 200"));
  std::thread([&drained] { drained(); }).join();
  EXPECT_THAT(client.ReadThrough("\"drained\"\n}\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  // The connection goes on.
  client.Send("GET /livez HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.ReadThrough("ok\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, SendsTheLastAnswerBeforeItStops) {
  Start();
  Client client(server->bound_port());
  client.Send("POST /drain?wait HTTP/1.1\r\n\r\n");
  std::function<void()> drained;
  while (!drained) {
    std::this_thread::yield();
    std::lock_guard lock(backend.mutex);
    drained = std::exchange(backend.drained, nullptr);
  }
  drained();
  server = nullptr;
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("\"drained\""));
}

TEST_F(ServerTest, AnswersWith500WhenAPromiseIsDropped) {
  Start();
  Client client(server->bound_port());
  client.Send("POST /drain?wait HTTP/1.1\r\nConnection: close\r\n\r\n");
  for (bool dropped = false; !dropped; std::this_thread::yield()) {
    std::lock_guard lock(backend.mutex);
    dropped = backend.drained != nullptr;
    backend.drained = nullptr;
  }
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 500"));
}

TEST_F(ServerTest, DropsAnAnswerThatComesAfterTheClientOrTheServerHasGone) {
  Start();
  std::vector<std::function<void()>> late;
  for (int i = 0; i < 2; ++i) {
    Client client(server->bound_port());
    client.Send("POST /drain?wait HTTP/1.1\r\n\r\n");
    for (bool taken = false; !taken; std::this_thread::yield()) {
      std::lock_guard lock(backend.mutex);
      taken = backend.drained != nullptr;
      if (taken) late.push_back(std::exchange(backend.drained, nullptr));
    }
  }
  late[0]();
  EXPECT_THAT(Fetch("GET /livez"), StartsWith("HTTP/1.1 200"));
  server = nullptr;
  late[1]();
}

TEST_F(ServerTest, KeepsRoomForNewcomersWhenItsConnectionsIdle) {
  Start({.max_connections = 4});
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(std::make_unique<Client>(server->bound_port()));
    idle.back()->Send("GET /liv");
  }
  EXPECT_THAT(Fetch("GET /livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(idle[0]->ReadToEnd(), "");
}

TEST_F(ServerTest, CutsARequestThatDripsIn) {
  Server::Options options;
  options.limits.request_timeout = absl::Milliseconds(50);
  Start(std::move(options));
  Client client(server->bound_port());
  // A byte from time to time must not prolong the deadline.
  const MonoTime start = PreciseNow();
  std::thread dripping([&client] {
    for (int i = 0; i < 100000 && client.Send("G"); ++i) usleep(2000);
  });
  EXPECT_EQ(client.ReadToEnd(), "");
  EXPECT_LT(PreciseNow() - start, absl::Seconds(10));
  dripping.join();
}

TEST_F(ServerTest, CutsAConnectionThatIdles) {
  Server::Options options;
  options.limits.idle_timeout = absl::Milliseconds(20);
  Start(std::move(options));
  Client client(server->bound_port());
  client.Send("GET /livez HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReadToEnd().ends_with("ok\n"));
}

TEST_F(ServerTest, NamesTheAddressItCannotHave) {
  Start();
  const std::string address = "127.0.0.1:" + std::to_string(server->bound_port());
  const auto second = Server::Start(address, health, backend, {});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
  for (const char* bad : {"", "localhost", "127.0.0.1", "localhost:80", "127.0.0.1:99999"}) {
    EXPECT_FALSE(Server::Start(bad, health, backend, {}).ok()) << bad;
  }
}

TEST_F(ServerTest, ReadinessFollowsTheServiceBothWays) {
  health.SetConfigLoaded();
  health.SetListenersBound();
  std::atomic<int> changes{0};
  Server::Options options;
  options.on_app_change = [&changes](const AppHealth&) { changes.fetch_add(1); };
  Start(std::move(options));
  auto app =
      std::make_unique<ScriptedServer>(ScriptedServer::Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  server->SetAppChecks({{.name = "app",
                         .endpoint = app->endpoint(),
                         .path = "/health",
                         .interval = absl::Milliseconds(2),
                         .policy = {.unhealthy_after = 3}}});
  while (changes.load() < 1) std::this_thread::yield();
  EXPECT_THAT(Fetch("GET /readyz?verbose"), HasSubstr("[+]app-app ok\n"));
  app = nullptr;
  while (changes.load() < 2) std::this_thread::yield();
  EXPECT_THAT(Fetch("GET /readyz"), HasSubstr("[-]app-app failed: "));
  EXPECT_THAT(Fetch("GET /livez"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, KeepsWhatItKnowsOfAServiceOverAReload) {
  health.SetConfigLoaded();
  health.SetListenersBound();
  std::atomic<int> changes{0};
  Server::Options options;
  options.on_app_change = [&changes](const AppHealth&) { changes.fetch_add(1); };
  Start(std::move(options));
  ScriptedServer app(ScriptedServer::Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  AppCheckConfig config = {.name = "app", .endpoint = app.endpoint(), .path = "/"};
  server->SetAppChecks({config});
  while (changes.load() < 1) std::this_thread::yield();
  config.path = "/other";
  server->SetAppChecks({config});
  EXPECT_THAT(Fetch("GET /readyz"), StartsWith("HTTP/1.1 200"));
  server->SetAppChecks({});
  EXPECT_THAT(Fetch("GET /readyz?verbose"), Not(HasSubstr("app-app")));
}

TEST_F(ServerTest, AnswersProbesQuickly) {
  Start();
  std::vector<absl::Duration> times;
  for (int i = 0; i < 200; ++i) {
    const MonoTime start = PreciseNow();
    ASSERT_THAT(Fetch("GET /livez"), StartsWith("HTTP/1.1 200"));
    times.push_back(PreciseNow() - start);
  }
  std::sort(times.begin(), times.end());
  EXPECT_LT(times[100], absl::Milliseconds(5));
  std::printf("  probe with its connection: p50 %s, p99 %s\n",
              absl::FormatDuration(times[100]).c_str(), absl::FormatDuration(times[198]).c_str());
}

TEST(IsLoopback, KnowsEveryFormOfTheLoopbackAddress) {
  const std::pair<const char*, bool> kV4[] = {{"127.0.0.1", true},
                                              {"127.255.0.9", true},
                                              {"128.0.0.1", false},
                                              {"10.0.0.1", false},
                                              {"0.0.0.0", false}};
  for (const auto& [text, expected] : kV4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ASSERT_EQ(inet_pton(AF_INET, text, &address.sin_addr), 1);
    EXPECT_EQ(IsLoopback(reinterpret_cast<const sockaddr&>(address)), expected) << text;
  }
  const std::pair<const char*, bool> kV6[] = {{"::1", true},
                                              {"::ffff:127.0.0.1", true},
                                              {"::ffff:10.0.0.1", false},
                                              {"fe80::1", false},
                                              {"::", false}};
  for (const auto& [text, expected] : kV6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    ASSERT_EQ(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
    EXPECT_EQ(IsLoopback(reinterpret_cast<const sockaddr&>(address)), expected) << text;
  }
}

}  // namespace
}  // namespace outrigger::admin
