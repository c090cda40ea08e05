#include "proxy/admin/app_check.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/un.h>

#include <cstdlib>

#include "proxy/admin/http2_check.h"
#include "tests/proxy/admin/http2_frame.h"
#include "tests/proxy/admin/sockets.h"

namespace outrigger::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Act = ScriptedServer::Act;

// Runs the loop until the check has had a result, and returns its outcome.
CheckOutcome CheckOnce(AppCheckConfig config, std::shared_ptr<AppHealth> health) {
  Loop loop;
  // One more result than before ends the run: the health's own notice comes only with a change.
  AppChecker checker(loop, std::move(config), health, nullptr);
  while (health->last_outcome() == CheckOutcome::kNone) {
    event_base_loop(loop.base(), EVLOOP_ONCE);
  }
  return health->last_outcome();
}

std::shared_ptr<AppHealth> NewHealth() {
  return std::make_shared<AppHealth>("app", AppHealth::Policy{});
}

// A port on which nothing listens.
uint16_t ClosedPort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = LoopbackAddress(0);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

TEST(AppChecker, JudgesAnswersByTheTable) {
  const struct {
    Act act;
    std::string answer;
    CheckOutcome expected;
  } kCases[] = {
      {Act::kAnswer, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CheckOutcome::kSuccess},
      {Act::kAnswer, "HTTP/1.0 204 No Content\r\n\r\n", CheckOutcome::kSuccess},
      {Act::kAnswer, "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", CheckOutcome::kSuccess},
      {Act::kAnswer, "HTTP/1.1 404 Not Found\r\n\r\n", CheckOutcome::kBadStatus},
      {Act::kAnswer, "HTTP/1.1 503 Service Unavailable\r\n\r\n", CheckOutcome::kBadStatus},
      {Act::kAnswer, "HTTP/1.1 200", CheckOutcome::kError},
      {Act::kAnswer, "HTTP/1.1 2x0 OK\r\n\r\n", CheckOutcome::kError},
      {Act::kAnswer, "HTTP/1.1 2000 OK\r\n\r\n", CheckOutcome::kError},
      {Act::kAnswer, "SSH-2.0-garbage\r\n", CheckOutcome::kError},
      {Act::kAnswer, std::string(5000, 'x'), CheckOutcome::kError},
      {Act::kAnswer, "", CheckOutcome::kError},
      {Act::kCloseAtOnce, "", CheckOutcome::kError},
      {Act::kStall, "", CheckOutcome::kTimeout},
  };
  for (const auto& c : kCases) {
    ScriptedServer server(c.act, c.answer);
    const auto health = NewHealth();
    EXPECT_EQ(CheckOnce({.name = "app",
                         .endpoint = server.endpoint(),
                         .path = "/health",
                         .timeout = absl::Milliseconds(c.act == Act::kStall ? 30 : 20000)},
                        health),
              c.expected)
        << c.answer;
    EXPECT_EQ(health->is_healthy(), c.expected == CheckOutcome::kSuccess) << c.answer;
  }
}

TEST(AppChecker, JudgesAnswersOfHttp2ByTheTable) {
  const std::string settings = Frame(4, 0, 0, "");
  const auto head = [](std::string_view block) { return Frame(1, 5, 1, block); };
  const auto status = [](std::string_view digits) {  // a literal that is not indexed
    return std::string("\x08\x03") + std::string(digits);
  };
  const struct {
    std::string answer;
    CheckOutcome expected;
    std::string problem;
  } kCases[] = {
      {settings + head("\x88"), CheckOutcome::kSuccess, ""},
      {settings + head("\x89"), CheckOutcome::kSuccess, ""},
      {settings + Frame(1, 4, 1, status("103")) + head("\x88"), CheckOutcome::kSuccess, ""},
      {settings + Frame(1, 4, 1, "\x88") + Frame(0, 0, 1, "some of"), CheckOutcome::kSuccess, ""},
      {settings + head("\x8d"), CheckOutcome::kBadStatus, "status 404"},
      {settings + head(status("503")), CheckOutcome::kBadStatus, "status 503"},
      {settings + Frame(3, 0, 1, std::string("\0\0\0\x07", 4)), CheckOutcome::kError,
       "REFUSED_STREAM"},
      {settings + head(""), CheckOutcome::kError, "PROTOCOL_ERROR"},
      {settings + Frame(0, 1, 1, "no head"), CheckOutcome::kError, ""},
      {settings, CheckOutcome::kError, "closed without an answer"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CheckOutcome::kError, "not HTTP/2"},
      {head("\x88"), CheckOutcome::kError, "not HTTP/2"},
      {"", CheckOutcome::kError, "closed without an answer"},
  };
  for (const auto& c : kCases) {
    ScriptedServer server(Act::kAnswer, c.answer);
    const auto health = NewHealth();
    EXPECT_EQ(
        CheckOnce({.name = "app", .endpoint = server.endpoint(), .path = "/h", .is_http2 = true},
                  health),
        c.expected)
        << health->Problem();
    EXPECT_THAT(health->Problem(), HasSubstr(c.problem));
  }
}

TEST(AppChecker, JudgesAnswersOfGrpcByTheTable) {
  const std::string settings = Frame(4, 0, 0, "");
  const auto status = [](std::string_view code) {  // trailers, or trailers-only behind a :status
    return std::string("\x00\x0bgrpc-status", 13) + static_cast<char>(code.size()) +
           std::string(code);
  };
  const std::string head = Frame(1, 4, 1, "\x88");
  const auto answer = [&](std::string_view message, std::string_view code) {
    return settings + head + Frame(0, 0, 1, message) + Frame(1, 5, 1, status(code));
  };
  const std::string serving("\0\0\0\0\x02\x08\x01", 7);
  const std::string not_serving("\0\0\0\0\x02\x08\x02", 7);
  const std::string unknown("\0\0\0\0\0", 5);
  const struct {
    std::string answer;
    CheckOutcome expected;
    std::string problem;
  } kCases[] = {
      {answer(serving, "0"), CheckOutcome::kSuccess, ""},
      {answer(not_serving, "0"), CheckOutcome::kBadStatus, "health status 2, not SERVING"},
      {answer(unknown, "0"), CheckOutcome::kBadStatus, "health status 0, not SERVING"},
      {answer(serving, "5"), CheckOutcome::kBadStatus, "grpc-status 5"},
      {settings + Frame(1, 5, 1, "\x88" + status("12")), CheckOutcome::kBadStatus,
       "grpc-status 12"},
      {settings + Frame(1, 5, 1, "\x8d"), CheckOutcome::kBadStatus, "status 404"},
      {settings + head + Frame(0, 1, 1, serving), CheckOutcome::kError, "not gRPC"},
      {answer("SERVING", "0"), CheckOutcome::kError, "not a health status"},
      {settings + head + Frame(0, 0, 1, serving), CheckOutcome::kError, "closed without an answer"},
  };
  for (const auto& c : kCases) {
    ScriptedServer server(Act::kAnswer, c.answer);
    const auto health = NewHealth();
    EXPECT_EQ(CheckOnce({.name = "app",
                         .endpoint = server.endpoint(),
                         .is_http2 = true,
                         .grpc_service = "a.Service"},
                        health),
              c.expected)
        << health->Problem();
    EXPECT_THAT(health->Problem(), HasSubstr(c.problem));
  }
}

TEST(GrpcHealth, ReadsAndWritesItsMessages) {
  EXPECT_EQ(GrpcHealthRequest(""), std::string(5, '\0'));
  EXPECT_EQ(GrpcHealthRequest("ab"), std::string("\0\0\0\0\x04\x0a\x02"
                                                 "ab",
                                                 9));
  const auto read = [](std::string_view body) {
    std::string message(4, '\0');
    message += static_cast<char>(body.size());
    return GrpcHealthStatus(message.append(body));
  };
  EXPECT_EQ(read(""), 0u);
  EXPECT_EQ(read("\x08\x01"), 1u);
  EXPECT_EQ(read("\x10\x07\x08\x03"), 3u);  // a field of a later version
  EXPECT_EQ(read("\x08\x81\x01"), 129u);
  EXPECT_EQ(read("\x08"), std::nullopt);       // cut
  EXPECT_EQ(read("\x0a\x01x"), std::nullopt);  // a text
  EXPECT_EQ(GrpcHealthStatus("\x01\x02"), std::nullopt);
  EXPECT_EQ(GrpcHealthStatus(std::string(4, '\0') + "\x02\x08"), std::nullopt);
}

TEST(AppChecker, SendsAProperRequest) {
  ScriptedServer server(Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  CheckOnce({.endpoint = server.endpoint(), .path = "/health?deep=1"}, NewHealth());
  EXPECT_THAT(server.last_request(),
              StartsWith("GET /health?deep=1 HTTP/1.1\r\nHost: " + server.endpoint() + "\r\n"));
}

TEST(AppChecker, IsContentWithAConnectWhenThereIsNoPath) {
  ScriptedServer server(Act::kStall, "");
  EXPECT_EQ(CheckOnce({.endpoint = server.endpoint()}, NewHealth()), CheckOutcome::kSuccess);
}

TEST(AppChecker, TellsRefusalFromOtherErrors) {
  const auto health = NewHealth();
  EXPECT_EQ(CheckOnce({.endpoint = "127.0.0.1:" + std::to_string(ClosedPort())}, health),
            CheckOutcome::kRefused);
  EXPECT_THAT(health->Problem(), HasSubstr("refused"));
  EXPECT_EQ(CheckOnce({.endpoint = "unix:/nonexistent/socket"}, NewHealth()),
            CheckOutcome::kRefused);
  EXPECT_EQ(CheckOnce({.endpoint = "no-port"}, NewHealth()), CheckOutcome::kError);
  EXPECT_EQ(CheckOnce({.endpoint = "unix:"}, NewHealth()), CheckOutcome::kError);
}

TEST(AppChecker, FindsNamesOfTheHostsFile) {
  ScriptedServer server(Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(CheckOnce({.endpoint = "localhost:" + std::to_string(server.port()), .path = "/"},
                      NewHealth()),
            CheckOutcome::kSuccess);
}

TEST(AppChecker, ReachesUnixSockets) {
  char directory[] = "/tmp/outrigger-test-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/app.sock";
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  EXPECT_EQ(CheckOnce({.endpoint = "unix:" + path}, NewHealth()), CheckOutcome::kSuccess);
  close(listener);
  unlink(path.c_str());
  rmdir(directory);
}

// Counts results by counting connections; runs the loop until there were `count`.
void RunUntilConnections(Loop& loop, const ScriptedServer& server, int count) {
  while (server.connections() < count) event_base_loop(loop.base(), EVLOOP_ONCE);
}

TEST(AppChecker, KeepsAskingAndReportsEachChange) {
  ScriptedServer server(Act::kAnswer, "HTTP/1.1 200 OK\r\n\r\n");
  Loop loop;  // after the server: it closes its connections when it goes
  const auto health = NewHealth();
  int changes = 0;
  AppChecker checker(
      loop, {.endpoint = server.endpoint(), .path = "/", .interval = absl::Milliseconds(5)}, health,
      [&changes](const AppHealth&) { ++changes; });
  RunUntilConnections(loop, server, 5);
  EXPECT_TRUE(health->is_healthy());
  EXPECT_EQ(changes, 1);
}

TEST(AppChecker, KeepsAskingAServiceThatStallsLongerThanTheInterval) {
  ScriptedServer server(Act::kStall, "");
  Loop loop;  // after the server: it closes its connections when it goes
  AppChecker checker(loop,
                     {.endpoint = server.endpoint(),
                      .path = "/",
                      .interval = absl::Milliseconds(5),
                      .timeout = absl::Milliseconds(12)},
                     NewHealth(), nullptr);
  RunUntilConnections(loop, server, 3);
  EXPECT_EQ(checker.health()->last_outcome(), CheckOutcome::kTimeout);
}

TEST(AppChecker, ForgivesTimeoutsOfAServiceThatStillSendsToItsUsers) {
  ScriptedServer server(Act::kStall, "");
  Loop loop;  // after the server: it closes its connections when it goes
  const auto health = std::make_shared<AppHealth>("app", AppHealth::Policy{.unhealthy_after = 1});
  health->Record({CheckOutcome::kSuccess, ""}, false);
  bool is_sending = true;
  AppChecker checker(
      loop,
      {.endpoint = server.endpoint(),
       .path = "/",
       .interval = absl::Milliseconds(1),
       .timeout = absl::Milliseconds(10),
       .last_upstream_byte = [&is_sending] { return is_sending ? PreciseNow() : MonoTime(); }},
      health, nullptr);
  RunUntilConnections(loop, server, 4);
  EXPECT_TRUE(health->is_healthy());
  is_sending = false;
  while (health->is_healthy()) event_base_loop(loop.base(), EVLOOP_ONCE);
  EXPECT_EQ(health->last_outcome(), CheckOutcome::kTimeout);
}

TEST(AppChecker, MayBeDestroyedAtAnyPointOfACheck) {
  ScriptedServer server(Act::kStall, "");
  for (int turns = 0; turns < 6; ++turns) {
    for (const std::string& endpoint :
         {server.endpoint(), "localhost:" + std::to_string(server.port())}) {
      Loop loop;
      AppChecker checker(loop, {.endpoint = endpoint, .path = "/"}, NewHealth(), nullptr);
      for (int i = 0; i < turns; ++i) event_base_loop(loop.base(), EVLOOP_NONBLOCK);
    }
  }
}

}  // namespace
}  // namespace outrigger::admin
