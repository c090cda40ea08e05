#include "proxy/admin/app_probes.h"

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
using ::testing::Not;
using ::testing::StartsWith;

TEST(ParseAppProbe, TakesAnAddressOnLoopbackAndAnyPath) {
  const auto target = [](const std::string& text) {
    const absl::StatusOr<AppProbe> probe = ParseAppProbe(text);
    return probe.ok() ? probe->name + " " + probe->address + " " + probe->target
                      : std::string(probe.status().message());
  };
  EXPECT_EQ(target("llm/readiness=http://127.0.0.1:8000/health?a=b"),
            "llm/readiness 127.0.0.1:8000 /health?a=b");
  EXPECT_EQ(target("a=http://[::1]:1"), "a [::1]:1 /");
  EXPECT_EQ(target("a=http://127.1.2.3:80/a b\r\nX: \xc3\xa4#f"),
            "a 127.1.2.3:80 /a%20b%0D%0AX:%20%C3%A4");
}

TEST(ParseAppProbe, RefusesEverythingElse) {
  for (const char* text :
       {"", "a", "=http://127.0.0.1:1/", "a=127.0.0.1:1/", "a=https://127.0.0.1:1/",
        "a=http://127.0.0.1/", "a=http://127.0.0.1:0/", "a=http://10.0.0.1:80/",
        "a=http://localhost:80/", "a=http://127.0.0.1:80000/", "a=http://[::2]:80/"}) {
    EXPECT_EQ(ParseAppProbe(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(AppProbeFields, AreTheClientsButForItsConnection) {
  Request request;
  EXPECT_EQ(AppProbeFields(request, "127.0.0.1:1"), "Host: 127.0.0.1:1\r\n");
  request.fields = {{"host", "app"}, {"Connection", "close"}, {"X-Token", "t"}, {"TE", "trailers"}};
  EXPECT_EQ(AppProbeFields(request, "127.0.0.1:1"), "Host: app\r\nX-Token: t\r\n");
}

// Through the whole server: its clients, its loop, and an app on loopback.
class AppProbesTest : public ::testing::Test {
 protected:
  void Start(const std::string& endpoint) {
    Server::Options options;
    options.app_probes.push_back(*ParseAppProbe("app/live=http://" + endpoint + "/health"));
    auto started = Server::Start("127.0.0.1:0", health, backend, std::move(options));
    ASSERT_TRUE(started.ok()) << started.status();
    server = std::move(*started);
  }
  void Ask(Client& client, const std::string& name = "app/live", const std::string& method = "GET") {
    client.Send(method + " /.outrigger/app-health/" + name +
                " HTTP/1.1\r\nHost: pod:15020\r\nX-Probe: 1\r\nConnection: close\r\n\r\n");
  }
  std::string Fetch(const std::string& name = "app/live", const std::string& method = "GET") {
    Client client(server->bound_port());
    Ask(client, name, method);
    return client.ReadToEnd();
  }

  HealthState health{{.workers = 1, .started_at = PreciseNow()}};
  FakeBackend backend;
  std::unique_ptr<Server> server;
};

TEST_F(AppProbesTest, PassTheStatusOn) {
  for (const int status : {200, 204, 301, 404, 503}) {
    ScriptedServer app(ScriptedServer::Act::kAnswer,
                       "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: 0\r\n\r\n");
    Start(app.endpoint());
    EXPECT_THAT(Fetch(), StartsWith("HTTP/1.1 " + std::to_string(status)));
    EXPECT_THAT(Fetch("app/live", "HEAD"), StartsWith("HTTP/1.1 " + std::to_string(status)));
    server = nullptr;
    EXPECT_THAT(app.last_request(), StartsWith("GET /health HTTP/1.1\r\nHost: pod:15020\r\n"));
    EXPECT_THAT(app.last_request(), HasSubstr("\r\nX-Probe: 1\r\n"));
  }
}

TEST_F(AppProbesTest, AreThoseThatWereDeclared) {
  ScriptedServer app(ScriptedServer::Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  Start(app.endpoint());
  EXPECT_THAT(Fetch("app/ready"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Fetch("app/live/../live"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Fetch("app/live", "POST"), StartsWith("HTTP/1.1 405"));
  EXPECT_EQ(app.connections(), 0);
}

TEST_F(AppProbesTest, SayWhenThereIsNoAnswer) {
  {
    ScriptedServer app(ScriptedServer::Act::kCloseAtOnce, "");
    Start(app.endpoint());
    EXPECT_THAT(Fetch(), StartsWith("HTTP/1.1 502 Bad Gateway\r\n"));
  }
  // Nobody listens there any more.
  EXPECT_THAT(Fetch(), HasSubstr("502 Bad Gateway"));
  ScriptedServer app(ScriptedServer::Act::kAnswer, "SSH-2.0-x\r\n");
  Start(app.endpoint());
  EXPECT_THAT(Fetch(), HasSubstr("the app: answer is not HTTP"));
}

TEST_F(AppProbesTest, AreFewAtOnceAndEndWithTheirClients) {
  ScriptedServer app(ScriptedServer::Act::kStall, "");
  Start(app.endpoint());
  {
    std::vector<std::unique_ptr<Client>> clients;
    for (size_t i = 0; i < AppProbes::kMaxAsking; ++i) {
      clients.push_back(std::make_unique<Client>(server->bound_port()));
      Ask(*clients.back());
    }
    // The requests are taken in the order of their connections, so that this one is the last.
    std::string answer = Fetch();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
    EXPECT_THAT(answer, HasSubstr("too many probes"));
    // Others are served meanwhile.
    Client other(server->bound_port());
    other.Send("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(other.ReadToEnd(), Not(HasSubstr("too many")));
  }
  // The clients have left: there is room again, seen by the question being put and not refused.
  const MonoTime end = PreciseNow() + absl::Seconds(20);
  for (bool is_refused = true; is_refused;) {
    ASSERT_LT(PreciseNow(), end);
    Client client(server->bound_port());
    Ask(client);
    client.Send("GET /livez HTTP/1.1\r\n\r\n");  // answered after it, if that was refused
    is_refused = client.HasAnswerWithin(absl::Milliseconds(100));
  }
}

TEST_F(AppProbesTest, ThatLingerGiveWayToOthers) {
  ScriptedServer app(ScriptedServer::Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  Start(app.endpoint());
  for (size_t i = 0; i < 3 * AppProbes::kMaxAsking; ++i) {
    EXPECT_THAT(Fetch(), StartsWith("HTTP/1.1 200")) << i;
  }
}

TEST(AppProbes, GiveUpAfterAWhile) {
  ScriptedServer app(ScriptedServer::Act::kStall, "");
  Loop loop;
  {
    AppProbes probes(loop, {*ParseAppProbe("a=http://" + app.endpoint() + "/")},
                     absl::Milliseconds(20));
    Reply got;
    const auto make_complete = [&]() -> CompleteFunction {
      return [&](Reply reply) {
        got = std::move(reply);
        loop.Stop();
      };
    };
    EXPECT_FALSE(probes.Ask("a", Request(), make_complete).has_value());
    loop.Run();
    EXPECT_EQ(got.status, 504);
    EXPECT_THAT(got.body, HasSubstr("no answer in 20ms"));
  }
}

}  // namespace
}  // namespace outrigger::admin
