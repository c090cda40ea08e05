#include "proxy/admin/app_stops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proxy/admin/server.h"
#include "proxy/base/time.h"
#include "tests/proxy/admin/fake_backend.h"
#include "tests/proxy/admin/sockets.h"

namespace outrigger::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Through the whole server, as the kubelet does.
class AppStopsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto started = Server::Start("127.0.0.1:0", health, backend, {});
    ASSERT_TRUE(started.ok()) << started.status();
    server = std::move(*started);
  }
  static void Ask(Client& client, const std::string& seconds, const std::string& method = "GET") {
    client.Send(method + " /.outrigger/app-stop/" + seconds +
                " HTTP/1.1\r\nConnection: close\r\n\r\n");
  }
  std::string Fetch(const std::string& seconds, const std::string& method = "GET") {
    Client client(server->bound_port());
    Ask(client, seconds, method);
    return client.ReadToEnd();
  }

  HealthState health{{.workers = 1, .started_at = PreciseNow()}};
  FakeBackend backend;
  std::unique_ptr<Server> server;
};

TEST_F(AppStopsTest, AnswerAfterTheirTimeAndNotBefore) {
  EXPECT_THAT(Fetch("0"), StartsWith("HTTP/1.1 200"));
  const MonoTime begin = PreciseNow();
  EXPECT_THAT(Fetch("1"), StartsWith("HTTP/1.1 200"));
  // The timer's clock is a coarse one.
  EXPECT_GE(PreciseNow() - begin, absl::Milliseconds(980));
}

TEST_F(AppStopsTest, AnswerWhenTheProxyEnds) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(server->bound_port()));
    Ask(*clients.back(), "3600");
  }
  // In the order of the connections: that this one is answered says that the others are held.
  EXPECT_THAT(Fetch("0"), StartsWith("HTTP/1.1 200"));
  for (const auto& client : clients) EXPECT_FALSE(client->HasAnswerWithin(absl::ZeroDuration()));
  server = nullptr;
  for (const auto& client : clients) EXPECT_THAT(client->ReadToEnd(), StartsWith("HTTP/1.1 200"));
}

TEST_F(AppStopsTest, TakeSecondsOnly) {
  for (const char* text : {"soon", "-1", "3601", "99999999999", "1s", "1.5", "+1", "%20"}) {
    EXPECT_THAT(Fetch(text), StartsWith("HTTP/1.1 400")) << text;
  }
  EXPECT_THAT(Fetch(""), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Fetch("6", "POST"), StartsWith("HTTP/1.1 405"));
}

TEST_F(AppStopsTest, AreFewAtOnceAndEndWithTheirClients) {
  {
    std::vector<std::unique_ptr<Client>> clients;
    for (size_t i = 0; i < AppStops::kMaxWaiting; ++i) {
      clients.push_back(std::make_unique<Client>(server->bound_port()));
      Ask(*clients.back(), "3600");
    }
    const std::string answer = Fetch("0");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
    EXPECT_THAT(answer, HasSubstr("too many"));
    // Probes are answered meanwhile.
    Client other(server->bound_port());
    other.Send("GET /config HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(other.ReadToEnd(), StartsWith("HTTP/1.1 200"));
  }
  const MonoTime end = PreciseNow() + absl::Seconds(20);
  while (!Fetch("0").starts_with("HTTP/1.1 200")) ASSERT_LT(PreciseNow(), end);
}

}  // namespace
}  // namespace outrigger::admin
