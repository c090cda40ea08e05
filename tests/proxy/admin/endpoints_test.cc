#include "proxy/admin/endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/proxy/admin/fake_backend.h"

namespace outrigger::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FakeApp : public Answerer {
 public:
  std::optional<Reply> Ask(std::string_view name, const Request&,
                           const std::function<CompleteFunction()>&) override {
    return Reply{404, "text/plain", "no probe " + std::string(name), ""};
  }
};

class EndpointsTest : public ::testing::Test {
 protected:
  std::optional<Reply> TryCall(std::string method, std::string target, std::string body = "") {
    Request request;
    const std::string bytes = method + " " + target +
                              " HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) +
                              "\r\n\r\n" + body;
    EXPECT_EQ(ParseRequest(bytes, {}, request).state, ParseState::kDone);
    request.is_from_loopback = is_from_loopback;
    return endpoints.Handle(request, now, [this]() -> CompleteFunction {
      return [this](Reply reply) { late_reply = std::move(reply); };
    });
  }
  Reply Call(std::string method, std::string target, std::string body = "") {
    auto reply = TryCall(std::move(method), std::move(target), std::move(body));
    EXPECT_TRUE(reply.has_value());
    return reply.value_or(Reply{});
  }

  const MonoTime now = MonoTime::FromNanos(1'000'000'000);
  bool is_from_loopback = true;
  HealthState health{{.workers = 1, .started_at = now}};
  FakeBackend backend;
  FakeApp app;
  Endpoints endpoints{health, backend, app, app};
  std::optional<Reply> late_reply;
};

TEST_F(EndpointsTest, LivezAndItsAliasesAnswerForTheWorkers) {
  for (const char* path : {"/livez", "/health", "/healthz"}) {
    EXPECT_EQ(Call("GET", path).status, 200) << path;
    EXPECT_EQ(Call("GET", path).body, "ok\n") << path;
    EXPECT_THAT(Call("GET", std::string(path) + "?verbose").body, StartsWith("[+]ping ok\n"));
  }
}

TEST_F(EndpointsTest, ProbesOfTheAppArePutToItByNameForAnyone) {
  is_from_loopback = false;
  EXPECT_EQ(Call("GET", "/.outrigger/app-health/llm/readiness").body, "no probe llm/readiness");
  EXPECT_EQ(Call("GET", "/.outrigger/app-health/").status, 404);
  EXPECT_EQ(Call("POST", "/.outrigger/app-health/a").status, 405);
  EXPECT_EQ(Call("GET", "/.outrigger/app-stop/6").body, "no probe 6");
  EXPECT_EQ(Call("GET", "/.outrigger/app-stop/").status, 404);
}

TEST_F(EndpointsTest, ReadyzAndItsAliasListWhatFails) {
  for (const char* path : {"/readyz", "/ready"}) {
    const Reply reply = Call("GET", path);
    EXPECT_EQ(reply.status, 503);
    EXPECT_THAT(reply.body, HasSubstr("[-]config failed: not loaded yet\n"));
  }
  health.SetConfigLoaded();
  health.SetListenersBound();
  EXPECT_EQ(Call("GET", "/readyz").status, 200);
}

TEST_F(EndpointsTest, StartupzTurnsGoodWhenWorkersRun) {
  health.SetConfigLoaded();
  health.SetListenersBound();
  EXPECT_EQ(Call("GET", "/startupz").status, 503);
  health.WorkerTicked(0, now);
  EXPECT_EQ(Call("GET", "/startupz").status, 200);
}

TEST_F(EndpointsTest, ShowsMetricsAndConfig) {
  const Reply metrics = Call("GET", "/metrics");
  EXPECT_EQ(metrics.body, "outrigger_up 1\n");
  EXPECT_EQ(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(Call("GET", "/config").body, "workers: 1\n");
}

TEST_F(EndpointsTest, ShowsAndSetsBreakers) {
  const auto json = nlohmann::json::parse(Call("GET", "/breakers").body);
  EXPECT_EQ(json["breakers"][0]["id"], "app:8000/chat");
  EXPECT_EQ(json["breakers"][0]["state"], "open");
  EXPECT_EQ(json["breakers"][0]["failures"], 5);
  EXPECT_EQ(Call("POST", "/breakers/app:8000/chat:open").status, 200);
  EXPECT_EQ(Call("POST", "/breakers/app%3A8000%2Fchat:close").status, 200);
  EXPECT_EQ(Call("POST", "/breakers/app:8000/chat:auto").status, 200);
  EXPECT_EQ(backend.commands,
            (std::vector<BreakerCommand>{BreakerCommand::kOpen, BreakerCommand::kClose,
                                         BreakerCommand::kAuto}));
  EXPECT_EQ(Call("POST", "/breakers/app:8000/chat:explode").status, 400);
  EXPECT_EQ(Call("POST", "/breakers/app").status, 400);
  EXPECT_EQ(Call("POST", "/breakers/:open").status, 400);
  EXPECT_EQ(Call("POST", "/breakers/other:open").status, 404);
}

TEST_F(EndpointsTest, CountsAndForgetsKeys) {
  EXPECT_EQ(nlohmann::json::parse(Call("GET", "/idempotency").body)["done"], 3);
  EXPECT_EQ(Call("DELETE", "/idempotency/abcd").status, 200);
  EXPECT_EQ(backend.forgotten, std::vector<std::string>{"abcd"});
  EXPECT_EQ(Call("DELETE", "/idempotency/abc").status, 400);
  EXPECT_EQ(Call("DELETE", "/idempotency/busy").status, 409);
}

TEST_F(EndpointsTest, BeginsADrainAndAnswersAtOnce) {
  const Reply reply = Call("POST", "/drain?timeout=20s");
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(backend.drains, 1);
  EXPECT_EQ(backend.drain_timeout, absl::Seconds(20));
}

TEST_F(EndpointsTest, AnswersAWaitingDrainWhenItIsOver) {
  EXPECT_FALSE(TryCall("POST", "/drain?wait").has_value());
  EXPECT_FALSE(late_reply.has_value());
  EXPECT_EQ(backend.drain_timeout, std::nullopt);
  backend.drained();
  ASSERT_TRUE(late_reply.has_value());
  EXPECT_EQ(late_reply->status, 200);
}

TEST_F(EndpointsTest, RefusesADrainTimeoutThatIsNone) {
  for (const char* bad : {"", "20", "-1s", "soon"}) {
    EXPECT_EQ(Call("POST", std::string("/drain?timeout=") + bad).status, 400) << bad;
  }
  EXPECT_EQ(backend.drains, 0);
}

TEST_F(EndpointsTest, ShowsAndSetsTheLogLevel) {
  EXPECT_EQ(Call("GET", "/log-level").body, "info\n");
  EXPECT_EQ(Call("PUT", "/log-level", " debug\n").body, "debug\n");
  EXPECT_EQ(Call("PUT", "/log-level", "loud").status, 400);
  EXPECT_EQ(backend.level, "debug");
}

TEST_F(EndpointsTest, ShowsStateToLoopbackOnly) {
  is_from_loopback = false;
  for (const char* path : {"/livez", "/startupz", "/metrics", "/healthz", "/health"}) {
    EXPECT_NE(Call("GET", path).status, 403) << path;
  }
  const std::pair<const char*, const char*> kPrivate[] = {{"GET", "/config"},
                                                          {"GET", "/breakers"},
                                                          {"POST", "/breakers/a:open"},
                                                          {"GET", "/idempotency"},
                                                          {"DELETE", "/idempotency/abcd"},
                                                          {"POST", "/drain"},
                                                          {"POST", "/drain?wait"},
                                                          {"GET", "/log-level"},
                                                          {"PUT", "/log-level"}};
  for (const auto& [method, path] : kPrivate) EXPECT_EQ(Call(method, path).status, 403) << path;
  EXPECT_EQ(backend.drains, 0);
  EXPECT_TRUE(backend.commands.empty());
  EXPECT_TRUE(backend.forgotten.empty());
}

TEST_F(EndpointsTest, NamesTheMethodsThatWouldDo) {
  EXPECT_EQ(Call("POST", "/livez").status, 405);
  EXPECT_EQ(Call("POST", "/livez").allow, "GET, HEAD");
  EXPECT_EQ(Call("GET", "/drain").allow, "POST");
  EXPECT_EQ(Call("DELETE", "/log-level").allow, "GET, HEAD, PUT");
  EXPECT_EQ(Call("HEAD", "/livez").status, 200);
}

TEST_F(EndpointsTest, ListsThePathsThatExist) {
  for (const char* path : {"/", "/nothing", "/livez/", "/breakers/", "//livez"}) {
    const Reply reply = Call("GET", path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_THAT(reply.body, HasSubstr("/readyz"));
    EXPECT_THAT(reply.body, HasSubstr("/idempotency/{...}"));
  }
}

}  // namespace
}  // namespace outrigger::admin
