// The service over real sockets: endpoints, connection handling, ledger and admin calls.

#include "tools/mock-ai/server.h"

#include <unistd.h>

#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "proxy/base/time.h"
#include "tests/tools/mock-ai/client.h"
#include "tools/mock-ai/json_fields.h"

namespace outrigger::mock_ai {
namespace {

constexpr std::string_view kChat = R"({"messages":[{"role":"user","content":"hi"}]})";
constexpr std::string_view kChatStream = R"({"stream":true,"messages":[{"content":"hi"}]})";

TEST(Server, AnswersEachEndpointOnOneConnection) {
  TestServer server;
  Client client(server.address());
  const Reply chat = client.Post("/v1/chat/completions", kChat);
  EXPECT_EQ(chat.status, 200);
  EXPECT_EQ(chat.Find("content-type"), "application/json");
  EXPECT_EQ(chat.Find("x-mock-execution"), "1");
  EXPECT_EQ(ParseJson(chat.body)["object"], "chat.completion");
  const Reply stream = client.Post("/v1/chat/completions", kChatStream);
  EXPECT_EQ(stream.end, End::kComplete);
  EXPECT_EQ(stream.Find("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(stream.chunks, 7U);
  EXPECT_EQ(stream.body.substr(stream.body.size() - 14), "data: [DONE]\n\n");
  EXPECT_EQ(client.Post("/v1/completions", R"({"prompt":"x"})").status, 200);
  EXPECT_EQ(client.Post("/v1/embeddings", R"({"input":"x"})").status, 200);
  EXPECT_EQ(client.Post("/v1/messages", R"({"messages":[1],"max_tokens":9})").status, 200);
  EXPECT_EQ(ParseJson(client.Get("/v1/models").body)["data"][0]["id"], "mock-1");
  EXPECT_EQ(client.Get("/health").status, 200);
  EXPECT_EQ(client.Get("/healthz").status, 200);
  EXPECT_EQ(client.Post("/effect", "").status, 200);
  EXPECT_EQ(client.Get("/bytes/1000").body.size(), 1000U);
  const Reply chunked = client.Get("/chunked/1000?chunk=300");
  EXPECT_EQ(chunked.body, client.Get("/bytes/1000").body);
  EXPECT_EQ(chunked.chunks, 4U);
  const Json echo = ParseJson(client.Get("/echo").body);
  EXPECT_EQ(echo["connection"], 1);
  EXPECT_EQ(echo["nth_on_connection"], 13);
}

TEST(Server, RefusesWhatItDoesNotServe) {
  TestServer server;
  Client client(server.address());
  EXPECT_EQ(client.Get("/nothing").status, 404);
  EXPECT_EQ(client.Get("/bytes/x").status, 404);
  EXPECT_EQ(client.Get("/effect").status, 405);
  EXPECT_EQ(client.Get("/v1/chat/completions").status, 405);
  EXPECT_EQ(client.Post("/v1/chat/completions", "{").status, 400);
  EXPECT_EQ(ParseJson(client.Post("/v1/messages", "{}").body)["type"], "error");
  const Json ledger = ParseJson(client.Get("/ledger").body);
  EXPECT_EQ(ledger["total"], 0);
  client.Send("GET / HTTP/1.1\r\nbad header\r\n\r\n");
  const Reply bad = client.ReadReply();
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.Find("connection"), "close");
  EXPECT_TRUE(client.IsClosedByServer());
}

TEST(Server, EchoesTheRequestInItsOrderWithHashAndTrailers) {
  TestServer server;
  Client client(server.address());
  client.Send(
      "PUT /echo/a?b HTTP/1.1\r\nHost: h\r\nB: 1\r\na: 2\r\nB: 3\r\n"
      "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\n");
  const Json echo = ParseJson(client.ReadReply().body);
  EXPECT_EQ(echo["method"], "PUT");
  EXPECT_EQ(echo["target"], "/echo/a?b");
  EXPECT_EQ(Dump(echo["headers"]),
            R"([["Host","h"],["B","1"],["a","2"],["B","3"],["Transfer-Encoding","chunked"]])");
  EXPECT_EQ(echo["body_bytes"], 3);
  // SHA-256 of "abc", FIPS 180-2 appendix B.1.
  EXPECT_EQ(echo["body_sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Dump(echo["trailers"]), R"([["T","x"]])");
}

TEST(Server, GivesTheSameBytesForTheSameSeedRequestAndExecution) {
  std::string first;
  for (int run = 0; run < 2; ++run) {
    TestServer server;
    Client client(server.address());
    const std::string one = client.Post("/v1/chat/completions", kChat, "x-mock-id: k\r\n").body;
    const std::string two = client.Post("/v1/chat/completions", kChat, "x-mock-id: k\r\n").body;
    EXPECT_NE(one, two);
    if (run == 0) first = one;
    EXPECT_EQ(one, first);
  }
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  Client client(server.address());
  std::string bytes;
  for (int i = 1; i <= 500; ++i) {
    bytes += fmt::format("GET /chunked/{} HTTP/1.1\r\nhost: h\r\n\r\n", i);
  }
  client.Send(bytes);
  for (size_t i = 1; i <= 500; ++i) ASSERT_EQ(client.ReadReply().body.size(), i);
}

TEST(Server, SendsContinueWhenItIsExpected) {
  TestServer server;
  Client client(server.address());
  client.Send(
      "POST /echo HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
  EXPECT_EQ(client.ReadSome(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_EQ(ParseJson(client.ReadReply().body)["body_bytes"], 3);
}

TEST(Server, AnswersHeadWithoutBodyAndHttp10UntilClose) {
  TestServer server;
  Client client(server.address());
  client.Send("HEAD /bytes/77 HTTP/1.1\r\nhost: h\r\n\r\n");
  const Reply head = client.ReadReply(/*is_head=*/true);
  EXPECT_EQ(head.Find("content-length"), "77");
  EXPECT_EQ(client.Get("/bytes/3").body, "abc");
  client.Send("GET /chunked/5 HTTP/1.0\r\n\r\n");
  const Reply old = client.ReadReply();
  EXPECT_EQ(old.Find("transfer-encoding"), "");
  EXPECT_EQ(old.body, "abcde");
}

TEST(Server, ClosesIdleConnections) {
  ServerOptions options = TestServer::DefaultOptions();
  options.connections.keepalive_idle = absl::Milliseconds(30);
  options.connections.advertises_keepalive = true;
  TestServer server(std::move(options));
  Client client(server.address());
  EXPECT_EQ(client.Get("/health").Find("keep-alive"), "timeout=0");
  EXPECT_TRUE(client.IsClosedByServer());
}

TEST(Server, StreamsLargeBodiesToASlowReader) {
  TestServer server;
  Client client(server.address());
  const Reply reply = client.Get("/chunked/20000000");
  EXPECT_EQ(reply.end, End::kComplete);
  EXPECT_EQ(reply.body.size(), 20'000'000U);
}

TEST(Server, SendsTokensInTheirTime) {
  ServerOptions options = TestServer::DefaultOptions();
  options.service.tokens.ttft = absl::Milliseconds(30);
  options.service.tokens.itl = absl::Milliseconds(10);
  TestServer server(std::move(options));
  Client client(server.address());
  const MonoTime start = PreciseNow();
  EXPECT_EQ(client.Post("/v1/chat/completions", kChatStream).end, End::kComplete);
  EXPECT_GE(PreciseNow() - start, absl::Milliseconds(60));
  const MonoTime unary_start = PreciseNow();
  EXPECT_EQ(client.Post("/v1/chat/completions", kChat).end, End::kComplete);
  EXPECT_GE(PreciseNow() - unary_start, absl::Milliseconds(60));
}

TEST(Server, ListensOnAUnixSocket) {
  const std::string path = fmt::format("{}mock-ai-{}.sock", testing::TempDir(), getpid());
  ServerOptions options = TestServer::DefaultOptions();
  options.listen = "unix:" + path;
  {
    TestServer server(std::move(options));
    EXPECT_EQ(server.address(), "unix:" + path);
    Client client(server.address());
    EXPECT_EQ(client.Get("/health").status, 200);
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(Server, SaysWhyItCannotListen) {
  TestServer server;
  ServerOptions options = TestServer::DefaultOptions();
  options.listen = server.address();
  const auto taken = Server::Create(options);
  ASSERT_FALSE(taken.ok());
  EXPECT_NE(taken.status().message().find(server.address()), absl::string_view::npos);
  options.listen = "nowhere";
  EXPECT_EQ(Server::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Ledgers, CountExecutionsByIdThenKeyThenCounter) {
  TestServer server;
  Client client(server.address());
  client.Post("/effect", "", "idempotency-key: k\r\n");
  client.Post("/effect", "", "idempotency-key: k\r\n");
  client.Post("/effect", "", "idempotency-key: k\r\nx-mock-id: i\r\n");
  client.Post("/effect", "");
  const Json ledger = ParseJson(client.Get("/ledger").body);
  EXPECT_EQ(ledger["by_id"]["k"], 2);
  EXPECT_EQ(ledger["by_id"]["i"], 1);
  EXPECT_EQ(ledger["total"], 4);
  EXPECT_EQ(ledger["completed"], 4);
  client.Send("DELETE /ledger HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_EQ(client.ReadReply().status, 204);
  EXPECT_EQ(ParseJson(client.Get("/ledger").body)["total"], 0);
}

TEST(Ledgers, KnowThatAClientWentAway) {
  TestServer server;
  {
    Client client(server.address());
    client.Send(
        "GET /echo HTTP/1.1\r\nhost: h\r\nx-mock-id: gone\r\nx-mock-fault: stall-head\r\n\r\n");
    EXPECT_TRUE(server.WaitForLedger("gone", "in_flight", 1));
  }
  EXPECT_TRUE(server.WaitForLedger("gone", "cancelled", 1));
  const Json entry = server.Ledger("gone");
  EXPECT_EQ(entry["in_flight"], 0);
  EXPECT_EQ(entry["executed"], 1);
  EXPECT_GT(entry["last_cancelled_after_ms"].get<double>(), 0);
}

TEST(Ledgers, KnowThatAClientWentAwayInTheMiddleOfAStream) {
  TestServer server;
  {
    Client client(server.address());
    client.SetPatience(absl::Milliseconds(20));
    const Reply reply = client.Post("/v1/chat/completions", kChatStream,
                                    "x-mock-id: gone\r\nx-mock-fault: itl:10s\r\n");
    EXPECT_EQ(reply.end, End::kSilent);
  }
  EXPECT_TRUE(server.WaitForLedger("gone", "cancelled", 1));
}

TEST(Admin, FaultsApplyToTheNextRequests) {
  TestServer server;
  Client admin(server.admin());
  Client client(server.address());
  EXPECT_EQ(admin.Post("/admin/faults", R"({"spec":"status:503","count":2})").status, 200);
  EXPECT_EQ(client.Get("/health").status, 200);
  EXPECT_EQ(client.Post("/v1/chat/completions", kChat).status, 503);
  EXPECT_EQ(client.Post("/effect", "").status, 503);
  EXPECT_EQ(client.Post("/effect", "").status, 200);
  admin.Post("/admin/faults", R"({"spec":["status:429","header:a=b;c"],"count":-1,"path":"/v1/"})");
  EXPECT_EQ(client.Post("/effect", "").status, 200);
  EXPECT_EQ(client.Get("/v1/models").Find("a"), "b;c");
  EXPECT_EQ(client.Get("/v1/models").status, 429);
  admin.Send("DELETE /admin/faults HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_EQ(admin.ReadReply().status, 204);
  EXPECT_EQ(client.Get("/v1/models").status, 200);
  for (const std::string_view bad : {"", "{}", R"({"spec":"nonsense"})", R"({"spec":[1]})"}) {
    EXPECT_EQ(admin.Post("/admin/faults", bad).status, 400) << bad;
  }
}

TEST(Admin, HealthCanFailAndStall) {
  TestServer server;
  Client admin(server.admin());
  Client client(server.address());
  EXPECT_EQ(admin.Post("/admin/health", R"({"status":503})").status, 204);
  EXPECT_EQ(client.Get("/health").status, 503);
  EXPECT_EQ(admin.Post("/admin/health", R"({"status":"stall"})").status, 204);
  client.SetPatience(absl::Milliseconds(30));
  EXPECT_EQ(client.Get("/health").end, End::kSilent);
  EXPECT_EQ(admin.Post("/admin/health", R"({"status":200})").status, 204);
  EXPECT_EQ(Client(server.address()).Get("/health").status, 200);
  EXPECT_EQ(admin.Post("/admin/health", R"({"status":404})").status, 400);
  EXPECT_EQ(admin.Get("/v1/models").status, 404);
}

TEST(Admin, ListeningCanStopAndStartOnTheSamePort) {
  TestServer server;
  Client admin(server.admin());
  Client kept(server.address());
  EXPECT_EQ(kept.Get("/health").status, 200);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(admin.Post("/admin/listen", R"({"open":false})").status, 204);
    EXPECT_FALSE(Client(server.address()).is_connected());
    EXPECT_EQ(kept.Get("/health").status, 200);
    EXPECT_EQ(admin.Post("/admin/listen", R"({"open":true})").status, 204);
    EXPECT_EQ(Client(server.address()).Get("/health").status, 200);
  }
  EXPECT_EQ(kept.Post("/admin/listen", R"({"open":false})").status, 409);
  EXPECT_EQ(admin.Post("/admin/listen", R"({"open":false,"connections":"reset"})").status, 204);
  EXPECT_TRUE(kept.IsClosedByServer());
}

}  // namespace
}  // namespace outrigger::mock_ai
