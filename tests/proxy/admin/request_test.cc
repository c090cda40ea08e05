#include "proxy/admin/request.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/base/random.h"

namespace outrigger::admin {
namespace {

ParseResult Parse(std::string_view bytes, Request& request) {
  return ParseRequest(bytes, {.head_bytes = 256, .body_bytes = 16}, request);
}

TEST(ParseRequest, ReadsALineHeadersAndABody) {
  Request request;
  const std::string bytes =
      "PUT /log%2Dlevel?a=1&b&c=%20 HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  5 \r\n\r\ndebugGET";
  const ParseResult result = Parse(bytes, request);
  ASSERT_EQ(result.state, ParseState::kDone);
  EXPECT_EQ(result.consumed, bytes.size() - 3);
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.path, "/log-level");
  EXPECT_EQ(request.body, "debug");
  EXPECT_EQ(request.Query("a"), "1");
  EXPECT_EQ(request.Query("b"), "");
  EXPECT_EQ(request.Query("c"), " ");
  EXPECT_EQ(request.Query("d"), std::nullopt);
  EXPECT_TRUE(request.keeps_alive);
}

TEST(ParseRequest, WaitsForTheRestAtEveryByte) {
  const std::string bytes = "PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
  for (size_t size = 0; size < bytes.size(); ++size) {
    Request request;
    ASSERT_EQ(Parse(bytes.substr(0, size), request).state, ParseState::kNeedMore) << size;
  }
  Request request;
  EXPECT_EQ(Parse(bytes, request).state, ParseState::kDone);
}

TEST(ParseRequest, ClosesAfterHttp10AndWhenAsked) {
  Request request;
  ASSERT_EQ(Parse("GET / HTTP/1.0\r\n\r\n", request).state, ParseState::kDone);
  EXPECT_FALSE(request.keeps_alive);
  ASSERT_EQ(Parse("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", request).state, ParseState::kDone);
  EXPECT_FALSE(request.keeps_alive);
}

TEST(ParseRequest, RefusesWhatIsAmbiguous) {
  using namespace std::string_view_literals;
  const struct {
    std::string_view bytes;
    int status;
  } kCases[] = {
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 400},
      {"GET http://x/ HTTP/1.1\r\n\r\n", 400},
      {"G@T / HTTP/1.1\r\n\r\n", 400},
      {"GET /%2 HTTP/1.1\r\n\r\n", 400},
      {"GET /%zz HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: \0\r\n\r\n"sv, 400},
      {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nContent-Length: \r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nContent-Length: 17\r\n\r\n", 413},
      {"PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413},
      {"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
  };
  for (const auto& c : kCases) {
    Request request;
    const ParseResult result = Parse(c.bytes, request);
    EXPECT_EQ(result.state, ParseState::kBad) << c.bytes;
    EXPECT_EQ(result.status, c.status) << c.bytes;
    EXPECT_NE(result.problem, "");
  }
}

TEST(ParseRequest, RefusesAHeadThatIsTooLarge) {
  Request request;
  const ParseResult result = Parse("GET /" + std::string(300, 'a'), request);
  EXPECT_EQ(result.state, ParseState::kBad);
  EXPECT_EQ(result.status, 431);
}

TEST(ParseRequest, NeverReadsPastRandomInput) {
  const std::string_view seeds[] = {"PUT /a?b=%41 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                                    "GET / HTTP/1.0\r\nConnection: close\r\n\r\n"};
  for (uint64_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::string bytes(seeds[seed % 2]);
    for (uint64_t i = random.Below(4); i > 0; --i) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
    }
    bytes.resize(random.Below(bytes.size() + 1));
    Request request;
    const ParseResult result = Parse(bytes, request);
    if (result.state == ParseState::kDone) {
      ASSERT_LE(result.consumed, bytes.size());
      ASSERT_EQ(request.path[0], '/');
    }
  }
}

}  // namespace
}  // namespace outrigger::admin
