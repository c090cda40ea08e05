// What an inference probe says and hears, in both protocols, without IO.

#include "proxy/admin/inference_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin/check_protocol.h"
#include "tests/proxy/admin/http2_frame.h"

namespace outrigger::admin {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

CheckQuestion Question(bool is_http2 = false) {
  return {.path = "/v1/completions",
          .authority = "app:80",
          .is_http2 = is_http2,
          .wants_whole_answer = true,
          .method = "POST",
          .content_type = "application/json",
          .body = R"({"prompt":"a"})"};
}

// The verdict on bytes that come in pieces of `size` and then end; nothing: there was none before
// the end, at which there was one.
struct Verdict {
  CheckResult result;
  bool is_early = false;
};

Verdict Judge(const CheckQuestion& question, std::string_view answer, size_t size) {
  const std::unique_ptr<CheckProtocol> protocol = NewCheckProtocol(question, /*is_secure=*/false);
  EXPECT_FALSE(protocol->TakeOutput().empty());
  for (size_t at = 0; at < answer.size(); at += size) {
    const std::optional<CheckResult> result = protocol->Receive(answer.substr(at, size));
    protocol->TakeOutput();
    if (result.has_value()) return {*result, /*is_early=*/true};
  }
  return {protocol->End(), /*is_early=*/false};
}

TEST(InferenceCheck, AsksWithMethodFieldsAndBody) {
  CheckQuestion question = Question();
  question.extra_fields = {{"authorization", "Bearer key"}, {"user-agent", "probe"}};
  const std::string request = NewCheckProtocol(question, false)->TakeOutput();
  EXPECT_THAT(request, StartsWith("POST /v1/completions HTTP/1.1\r\nHost: app:80\r\n"));
  for (const char* line : {"\r\nauthorization: Bearer key\r\n", "\r\nuser-agent: probe\r\n",
                           "\r\naccept: */*\r\n", "\r\ncontent-type: application/json\r\n",
                           "\r\ncontent-length: 14\r\n", "\r\nconnection: close\r\n"}) {
    EXPECT_THAT(request, HasSubstr(line));
  }
  EXPECT_THAT(request, Not(HasSubstr("outrigger-health"))) << "another one was stated";
  EXPECT_THAT(request, EndsWith("\r\n\r\n{\"prompt\":\"a\"}"));
}

TEST(InferenceCheck, AsksWithoutABodyByGet) {
  CheckQuestion question = Question();
  question.method = "GET";
  question.body.clear();
  const std::string request = NewCheckProtocol(question, false)->TakeOutput();
  EXPECT_THAT(request, StartsWith("GET /v1/completions HTTP/1.1\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("content-")));
  EXPECT_THAT(request, EndsWith("\r\n\r\n"));
}

TEST(InferenceCheck, WantsTheWholeAnswer) {
  // Longer than their heads.
  const std::string text(300, 'x');
  const struct {
    std::string answer;
    CheckOutcome expected;
    bool is_early;  // known before the service closes
    std::string_view problem = "";
  } rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", CheckOutcome::kSuccess, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CheckOutcome::kSuccess, true},
      {"HTTP/1.1 204 No Content\r\n\r\n", CheckOutcome::kSuccess, true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
       CheckOutcome::kSuccess, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + text, CheckOutcome::kSuccess, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 301\r\n\r\n" + text, CheckOutcome::kError, false,
       "closed within the answer"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n" + text + "\r\n0\r\n\r\n",
       CheckOutcome::kSuccess, true},
      {"HTTP/1.1 200 OK\r\n\r\nuntil the end", CheckOutcome::kSuccess, false},
      {"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
       CheckOutcome::kSuccess, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", CheckOutcome::kError, false,
       "closed within the answer"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", CheckOutcome::kError,
       false, "closed within the answer"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", CheckOutcome::kError, true,
       "answer is not HTTP"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
       CheckOutcome::kError, true, "answer is not HTTP"},
      // By their heads: the body need not be waited for.
      {"HTTP/1.1 503 Loading\r\nContent-Length: 100\r\n\r\n", CheckOutcome::kBadStatus, true,
       "status 503"},
      {"HTTP/1.1 404 Not Found\r\n\r\n", CheckOutcome::kBadStatus, true, "status 404"},
      {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", CheckOutcome::kBadStatus, true, "status 302"},
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
       CheckOutcome::kBadStatus, true, "status 101"},
      {"HTTP/1.1 102 Processing\r\n\r\n", CheckOutcome::kError, false, "closed without an answer"},
      {"HTTP/1.1 200 OK\r\nContent-Le", CheckOutcome::kError, false, "closed without an answer"},
      {"SSH-2.0-garbage\r\n", CheckOutcome::kError, true, "answer is not HTTP"},
      {"", CheckOutcome::kError, false, "closed without an answer"},
  };
  for (const auto& row : rows) {
    for (const size_t size : {size_t{1}, size_t{7}, size_t{100'000}}) {
      SCOPED_TRACE(testing::Message() << row.answer << " in pieces of " << size);
      const Verdict verdict = Judge(Question(), row.answer, size);
      EXPECT_EQ(verdict.result.outcome, row.expected) << verdict.result.detail;
      EXPECT_EQ(verdict.result.detail, row.problem);
      EXPECT_EQ(verdict.is_early, row.is_early);
    }
  }
}

TEST(InferenceCheck, HasItsVerdictOnce) {
  const auto protocol = NewCheckProtocol(Question(), false);
  protocol->TakeOutput();
  const std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  ASSERT_TRUE(protocol->Receive(answer).has_value());
  EXPECT_EQ(protocol->Receive("HTTP/1.1 500 Late\r\n\r\n")->outcome, CheckOutcome::kSuccess);
}

TEST(InferenceCheck, WantsTheWholeAnswerOfHttp2Too) {
  const std::string settings = Frame(4, 0, 0, "");
  const std::string ok = Frame(1, 4, 1, "\x88");  // the stream goes on
  const std::string reset = Frame(3, 0, 1, std::string("\0\0\0\x08", 4));
  const struct {
    std::string answer;
    CheckOutcome expected;
    bool is_early;
    std::string_view problem = "";
  } rows[] = {
      {settings + ok + Frame(0, 0, 1, "o") + Frame(0, 1, 1, "k"), CheckOutcome::kSuccess, true},
      {settings + Frame(1, 5, 1, "\x89"), CheckOutcome::kSuccess, true},
      {settings + ok + Frame(0, 0, 1, "o"), CheckOutcome::kError, false,
       "closed without an answer"},
      {settings + ok + reset, CheckOutcome::kError, true, "the stream was closed: CANCEL"},
      {settings + Frame(1, 4, 1, "\x8d"), CheckOutcome::kBadStatus, true, "status 404"},
      {settings + Frame(1, 4, 1,
                        "\x08\x03"
                        "302"),
       CheckOutcome::kBadStatus, true, "status 302"},
  };
  for (const auto& row : rows) {
    for (const size_t size : {size_t{1}, size_t{100'000}}) {
      SCOPED_TRACE(testing::Message() << row.problem << " in pieces of " << size);
      const Verdict verdict = Judge(Question(/*is_http2=*/true), row.answer, size);
      EXPECT_EQ(verdict.result.outcome, row.expected) << verdict.result.detail;
      EXPECT_EQ(verdict.result.detail, row.problem);
      EXPECT_EQ(verdict.is_early, row.is_early);
    }
  }
}

TEST(InferenceCheck, SendsTheBodyOverHttp2) {
  const auto protocol = NewCheckProtocol(Question(/*is_http2=*/true), false);
  const std::string first = protocol->TakeOutput();
  // DATA of 14 bytes with END_STREAM.
  EXPECT_THAT(first, HasSubstr(Frame(0, 1, 1, R"({"prompt":"a"})")));
}

}  // namespace
}  // namespace outrigger::admin
