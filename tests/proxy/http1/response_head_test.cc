#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using http::Reason;
using namespace std::string_view_literals;

TEST(ResponseHead, IsTakenApart) {
  constexpr std::string_view kBytes =
      "HTTP/1.1 200 All is w\xf6ll\r\nContent-Length: 2\r\nServer: uvicorn\r\n\r\nok";
  HeadProgress progress;
  ResponseHead head;
  http::HeaderList headers;
  const HeadResult result = ParseResponseHead(kBytes, progress, {}, head, headers);
  ASSERT_EQ(result.status, HeadStatus::kDone) << result.message;
  EXPECT_EQ(kBytes.substr(result.consumed), "ok");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.reason_phrase, "All is w\xf6ll");
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(Print(headers), "Content-Length: 2\nServer: uvicorn\n");
}

TEST(ResponseHead, ReasonPhraseMayBeMissing) {
  struct Case {
    std::string_view line;
    std::string_view text;
  };
  const Case cases[] = {
      {"HTTP/1.1 204 ", "204  1.1\n"},
      {"HTTP/1.1 204", "204  1.1\n"},
      {"HTTP/1.0 404 Not Found", "404 Not Found 1.0\n"},
      {"HTTP/1.1 100 Continue", "100 Continue 1.1\n"},
      {"HTTP/1.1 599  x", "599  x 1.1\n"},
  };
  for (const Case& c : cases) {
    const ParsedHead parsed = ParseResponse(std::string(c.line) + "\r\n\r\n");
    EXPECT_EQ(parsed.result.status, HeadStatus::kDone) << c.line;
    EXPECT_TRUE(parsed.text.ends_with(c.text)) << parsed.text;
  }
}

constexpr std::string_view kRefused[] = {
    "HTTP/1.1 099 x\r\n\r\n",
    "HTTP/1.1 600 x\r\n\r\n",
    "HTTP/1.1 20 x\r\n\r\n",
    "HTTP/1.1 2000 x\r\n\r\n",
    "HTTP/1.1 2x0 x\r\n\r\n",
    "HTTP/1.1 -20 x\r\n\r\n",
    "HTTP/1.1  200 x\r\n\r\n",
    "HTTP/1.1\t200 x\r\n\r\n",
    "HTTP/1.1 200\tx\r\n\r\n",
    "HTTP/1.1\r\n\r\n",
    "HTTP/1.1 \r\n\r\n",
    "HTTP/2.0 200 x\r\n\r\n",
    "HTTP/1.2 200 x\r\n\r\n",
    "http/1.1 200 x\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "200 OK\r\n\r\n",
    "\r\nHTTP/1.1 200 x\r\n\r\n",
    " HTTP/1.1 200 x\r\n\r\n",
    "<html>",
    "HTTP/1.1 200 a\0b\r\n\r\n"sv,
    "HTTP/1.1 200 a\x7f\r\n\r\n",
    "HTTP/1.1 200 a\rb\r\n\r\n",
    "HTTP/1.1 200 x\nA: b\r\n\r\n",
    "HTTP/1.1 200 x\r\nA: b\n\r\n",
    "HTTP/1.1 200 x\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 x\r\n A: b\r\n\r\n",
    "HTTP/1.1 200 x\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 200 x\r\n: b\r\n\r\n",
    "HTTP/1.1 200 x\r\nA\r\n\r\n",
    "HTTP/1.1 200 x\r\nA: b\0\r\n\r\n"sv,
};

TEST(ResponseHead, EverythingTheGrammarDoesNotAllowIsRefused) {
  for (std::string_view bytes : kRefused) {
    const ParsedHead parsed = ParseResponse(bytes);
    EXPECT_EQ(parsed.result.status, HeadStatus::kError) << testing::PrintToString(bytes);
    EXPECT_EQ(parsed.result.reason, Reason::kUpstreamProtocol) << testing::PrintToString(bytes);
  }
}

TEST(ResponseHead, SizeAndNumberOfFieldsAreBounded) {
  HeadLimits limits;
  limits.max_head_bytes = 200;
  limits.max_fields = 3;
  const std::string many = "HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n";
  const std::string large = "HTTP/1.1 200 " + std::string(300, 'x');
  for (const std::string& bytes : {many, large}) {
    for (const Split& split : {Whole(), ByteByByte()}) {
      EXPECT_EQ(ParseResponse(bytes, split, limits).result.reason, Reason::kUpstreamProtocol);
    }
  }
}

TEST(ResponseHead, ResultDoesNotDependOnHowTheBytesArrive) {
  std::vector<std::string> messages = {
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1",
      "HTTP/1.0 200\r\n\r\nrest",
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
  };
  for (std::string_view bytes : kRefused) messages.emplace_back(bytes);
  for (const std::string& message : messages) {
    const std::string whole = ParseResponse(message).text;
    EXPECT_EQ(ParseResponse(message, ByteByByte()).text, whole) << testing::PrintToString(message);
    for (size_t at = 0; at <= message.size(); ++at) {
      EXPECT_EQ(ParseResponse(message, At(at)).text, whole)
          << testing::PrintToString(message) << " split at " << at;
    }
  }
}

}  // namespace
}  // namespace outrigger::http1
