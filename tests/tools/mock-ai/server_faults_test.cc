// Every fault as a client sees it on the wire.

#include <iterator>
#include <memory>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "proxy/base/random.h"
#include "proxy/base/time.h"
#include "tests/tools/mock-ai/client.h"
#include "tools/mock-ai/json_fields.h"

namespace outrigger::mock_ai {
namespace {

class Faults : public testing::Test {
 protected:
  static std::string Header(std::string_view spec) {
    return fmt::format("x-mock-id: k\r\nx-mock-fault: {}\r\n", spec);
  }
  // On a connection of its own, which stays open until the next call.
  Reply Chat(std::string_view spec, bool is_stream = true) {
    client_ = std::make_unique<Client>(server_.address());
    client_->SetPatience(patience_);
    return client_->Post("/v1/chat/completions",
                         is_stream ? R"({"stream":true,"messages":[1]})" : R"({"messages":[1]})",
                         Header(spec));
  }
  static size_t Count(std::string_view text, std::string_view part) {
    size_t count = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; ++at) ++count;
    return count;
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  absl::Duration patience_ = absl::Seconds(5);
};

TEST_F(Faults, StatusIsAnsweredWithoutExecuting) {
  const Reply reply =
      Chat("status:429;retry-after:2;retry-after-ms:2000;header:x-should-retry=true");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.Find("retry-after"), "2");
  EXPECT_EQ(reply.Find("retry-after-ms"), "2000");
  EXPECT_EQ(reply.Find("x-should-retry"), "true");
  EXPECT_EQ(server_.Ledger("k")["executed"], 0);
  EXPECT_EQ(Chat("status:529").status, 529);
  EXPECT_EQ(Chat("status:500;executed").status, 500);
  EXPECT_EQ(server_.Ledger("k")["executed"], 1);
}

TEST_F(Faults, FirstAppliesToTheFirstReceptionsOfOneId) {
  EXPECT_EQ(Chat("first:2:status:503").status, 503);
  EXPECT_EQ(Chat("first:2;status:503").status, 503);
  EXPECT_EQ(Chat("first:2;status:503").status, 200);
  EXPECT_EQ(server_.Ledger("k")["received"], 3);
  EXPECT_EQ(server_.Ledger("k")["executed"], 1);
}

TEST_F(Faults, StallsComeToNoEnd) {
  patience_ = absl::Milliseconds(30);
  const Reply head = Chat("stall-head");
  EXPECT_EQ(head.end, End::kSilent);
  EXPECT_EQ(head.status, 0);
  const Reply body = Chat("stall-body:2");
  EXPECT_EQ(body.end, End::kSilent);
  EXPECT_EQ(body.chunks, 2U);
  const Reply bytes = Chat("stall-body:10", false);
  EXPECT_EQ(bytes.end, End::kSilent);
  EXPECT_EQ(bytes.body.size(), 10U);
  const Reply role = Chat("role-only-stall");
  EXPECT_EQ(role.end, End::kSilent);
  EXPECT_EQ(role.chunks, 1U);
  EXPECT_NE(role.body.find("assistant"), std::string::npos);
}

TEST_F(Faults, PingsGoOnForEver) {
  Client client(server_.address());
  const std::string_view body = R"({"stream":true,"messages":[1]})";
  client.Send(
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n{}\r\n{}",
                  body.size(), Header("ping-only:1ms"), body));
  std::string seen;
  // The client stops here; a ping-only stream never ends by itself.
  while (Count(seen, ": ping\n\n") < 5) {
    const std::string more = client.ReadSome();
    ASSERT_NE(more, "");
    seen += more;
  }
  EXPECT_EQ(Count(seen, "data:"), 0U);
}

TEST_F(Faults, ErrorEventsReplaceTheRest) {
  const Reply before = Chat("error-event");
  EXPECT_EQ(before.end, End::kComplete);
  EXPECT_EQ(before.chunks, 2U);
  EXPECT_EQ(Count(before.body, "\"error\""), 1U);
  EXPECT_EQ(Count(before.body, "[DONE]"), 0U);
  const Reply after = Chat("error-event-after:2");
  EXPECT_EQ(after.chunks, 4U);
  Client client(server_.address());
  const Reply anthropic = client.Post(
      "/v1/messages", R"({"stream":true,"max_tokens":5,"messages":[1]})", Header("error-event"));
  EXPECT_NE(anthropic.body.find("event: error\n"), std::string::npos);
}

TEST_F(Faults, StreamsCanBeCutOrLackTheirTerminal) {
  const Reply cut = Chat("cut-after:3");
  EXPECT_EQ(cut.end, End::kClosed);
  EXPECT_EQ(cut.chunks, 3U);
  const Reply unterminated = Chat("no-terminal");
  EXPECT_EQ(unterminated.end, End::kComplete);
  EXPECT_EQ(unterminated.chunks, 6U);
  EXPECT_EQ(Count(unterminated.body, "[DONE]"), 0U);
}

TEST_F(Faults, ResetComesAfterExactlyThatManyBytes) {
  Client probe(server_.address());
  probe.Send("GET /bytes/50 HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-mock-id: k\r\n\r\n");
  const size_t whole = probe.ReadRaw().body.size();
  for (size_t at = 0; at <= whole + 1; at += 7) {
    SCOPED_TRACE(at);
    Client client(server_.address());
    client.Send(fmt::format("GET /bytes/50 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{}\r\n",
                            Header(fmt::format("rst-at:{}", at))));
    const Reply reply = client.ReadRaw();
    EXPECT_EQ(reply.end, End::kReset);
    EXPECT_EQ(reply.body.size(), at);
  }
  Client client(server_.address());
  EXPECT_EQ(client.Get("/bytes/50", Header("rst-at:100000")).end, End::kComplete);
  EXPECT_EQ(client.ReadRaw().end, End::kReset);
}

TEST_F(Faults, ResetIsExactBehindALargeBody) {
  Client client(server_.address());
  client.Send(
      fmt::format("GET /bytes/5000000 HTTP/1.1\r\nhost: h\r\n{}\r\n", Header("rst-at:3000000")));
  const Reply reply = client.ReadRaw();
  EXPECT_EQ(reply.end, End::kReset);
  EXPECT_EQ(reply.body.size(), 3'000'000U);
}

TEST_F(Faults, TheConnectionCanEndBeforeTheHeadOrSpeakSomethingElse) {
  EXPECT_EQ(Chat("close-before-head").end, End::kClosed);
  EXPECT_EQ(Chat("garbage").end, End::kMalformed);
  EXPECT_EQ(server_.Ledger("k")["broken"], 2);
}

TEST_F(Faults, LengthsAreLies) {
  const Reply truncated = Chat("truncate:5", false);
  EXPECT_EQ(truncated.end, End::kClosed);
  EXPECT_EQ(truncated.Find("content-length"), std::to_string(truncated.body.size() + 5));
  EXPECT_EQ(Chat("lie-short:6", false).end, End::kComplete);
  client_->FinishSending();
  EXPECT_EQ(client_->ReadRaw().body, "xxxxxx");
}

TEST_F(Faults, ChunksAreSpoilt) {
  const Reply truncated = Chat("truncated-chunk:2");
  EXPECT_EQ(truncated.end, End::kClosed);
  EXPECT_EQ(truncated.chunks, 3U);
  EXPECT_EQ(Chat("bad-chunk:2").end, End::kMalformed);
  EXPECT_EQ(Chat("bad-chunk", false).end, End::kMalformed);
}

TEST_F(Faults, SlowResponsesDribble) {
  const MonoTime start = PreciseNow();
  const Reply reply = Chat("slow-response:100,2ms", false);
  EXPECT_EQ(reply.end, End::kComplete);
  EXPECT_GE(PreciseNow() - start, absl::Milliseconds(2) * (reply.body.size() / 100));
}

TEST_F(Faults, EarlyResponsesComeBeforeTheBody) {
  const auto head = [](std::string_view spec) {
    return fmt::format("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n{}\r\n",
                       Header(spec));
  };
  Client closing(server_.address());
  closing.Send(head("early-response"));
  const Reply refused = closing.ReadReply();
  EXPECT_EQ(refused.status, 413);
  EXPECT_EQ(refused.Find("connection"), "close");
  EXPECT_TRUE(closing.IsClosedByServer());

  Client keeping(server_.address());
  keeping.Send(head("early-response:200,keep"));
  EXPECT_EQ(keeping.ReadReply().status, 200);
  keeping.Send("0123456789");
  EXPECT_EQ(keeping.Get("/health").status, 200);

  Client aborting(server_.address());
  aborting.Send(head("early-response:413,abort"));
  EXPECT_EQ(aborting.ReadReply().Find("connection"), "");
  EXPECT_TRUE(aborting.IsClosedByServer());
  EXPECT_EQ(server_.Ledger("k")["executed"], 1);
}

TEST_F(Faults, ConnectionsCloseWithoutAWord) {
  const Reply reply = Chat("close-after-response", false);
  EXPECT_EQ(reply.end, End::kComplete);
  EXPECT_EQ(reply.Find("connection"), "");
  EXPECT_TRUE(client_->IsClosedByServer());
}

TEST_F(Faults, InterimResponsesTrailersAndHttp10) {
  const Reply hints = Chat("informational:103;informational:102");
  EXPECT_EQ(hints.informational, (std::vector<int>{103, 102}));
  EXPECT_EQ(hints.end, End::kComplete);
  const Reply trailers = Chat("trailers", false);
  EXPECT_EQ(trailers.Find("trailer"), "x-mock-trailer");
  ASSERT_EQ(trailers.trailers.size(), 1U);
  EXPECT_EQ(trailers.trailers[0].value, "1");
  const Reply old = Chat("http10");
  EXPECT_EQ(old.version, "HTTP/1.0");
  EXPECT_EQ(old.Find("content-length"), "");
  EXPECT_EQ(old.end, End::kComplete);
  EXPECT_EQ(Count(old.body, "[DONE]"), 1U);
}

TEST_F(Faults, ContinueCanBeWithheld) {
  Client client(server_.address());
  client.Send(
      "POST /echo HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 1\r\n"
      "x-mock-fault: no-continue\r\n\r\nx");
  const Reply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.informational.empty());
}

TEST_F(Faults, TimesAndTokensOfOneRequest) {
  const MonoTime start = PreciseNow();
  const Reply reply = Chat("delay:10ms;ttft:20ms;itl:5ms;tokens:3");
  EXPECT_EQ(reply.chunks, 6U);
  EXPECT_GE(PreciseNow() - start, absl::Milliseconds(40));
}

// Whatever is asked for and whenever the client leaves: the service goes on and closes its books.
TEST_F(Faults, RandomFaultsAndClientsThatLeaveHurtNobody) {
  constexpr std::string_view kClauses[] = {"status:503",
                                           "stall-head",
                                           "stall-body:3",
                                           "role-only-stall",
                                           "ping-only:1",
                                           "error-event",
                                           "cut-after:2",
                                           "no-terminal",
                                           "rst-at:300",
                                           "close-before-head",
                                           "truncate",
                                           "lie-short",
                                           "truncated-chunk",
                                           "bad-chunk",
                                           "slow-response:50,1",
                                           "early-response",
                                           "garbage",
                                           "early-response:200,keep",
                                           "close-after-response",
                                           "informational:103",
                                           "trailers",
                                           "http10",
                                           "no-continue",
                                           "delay:1",
                                           "itl:1",
                                           "early-response:413,abort",
                                           "tokens:300"};
  constexpr std::string_view kTargets[] = {"/v1/chat/completions", "/v1/messages",   "/effect",
                                           "/chunked/100000",      "/bytes/1000000", "/health"};
  constexpr std::string_view kBody = R"({"stream":true,"max_tokens":500,"messages":[1]})";
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    std::string spec;
    for (uint64_t i = 0; i <= random.Below(3); ++i) {
      spec.append(kClauses[random.Below(std::size(kClauses))]).append(";");
    }
    Client client(server_.address());
    ASSERT_TRUE(client.is_connected());
    const size_t sent_bytes = kBody.size() - random.Below(2) * random.Below(kBody.size());
    std::string request = fmt::format(
        "POST {} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n{}{}\r\n{}",
        kTargets[random.Below(std::size(kTargets))], kBody.size(), Header(spec),
        random.Below(2) == 0 ? "expect: 100-continue\r\n" : "", kBody.substr(0, sent_bytes));
    if (random.Below(4) == 0) request += request;
    client.Send(request);
    client.SetPatience(absl::Milliseconds(2));
    for (uint64_t i = 0; i < random.Below(4); ++i) client.ReadSome();
    if (random.Below(4) == 0) client.FinishSending();
  }
  EXPECT_EQ(Client(server_.address()).Get("/health").status, 200);
  EXPECT_TRUE(server_.WaitForLedger("k", "in_flight", 0));
  const Json entry = server_.Ledger("k");
  EXPECT_GT(entry["executed"].get<int>(), 0);
  EXPECT_EQ(entry["executed"], entry["completed"].get<int>() + entry["cancelled"].get<int>() +
                                   entry["broken"].get<int>());
}

TEST_F(Faults, AFaultThatCannotBeIsAnError) {
  EXPECT_EQ(Chat("nonsense").status, 400);
  const Reply reply = Chat("ping-only", false);
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("event stream"), std::string::npos);
}

}  // namespace
}  // namespace outrigger::mock_ai
