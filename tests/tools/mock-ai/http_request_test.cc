#include "tools/mock-ai/http_request.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::mock_ai {
namespace {

using State = RequestParser::State;

// Feeds everything, calling Feed again as long as it makes progress.
size_t FeedAll(RequestParser& parser, std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size()) {
    const size_t now = parser.Feed(bytes.substr(used));
    used += now;
    if (now == 0) break;
  }
  return used;
}

RequestParser Parse(std::string_view bytes, Limits limits = Limits{}) {
  RequestParser parser(limits);
  FeedAll(parser, bytes);
  return parser;
}

TEST(RequestParser, ReadsARequestWithoutBody) {
  const RequestParser parser =
      Parse("GET /a%20b?x=1&y=a%2Fb+c HTTP/1.1\r\nHost:  h \r\nA:\r\n\r\n");
  ASSERT_EQ(parser.state(), State::kDone);
  const Request& request = parser.request();
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path(), "/a%20b");
  EXPECT_EQ(request.QueryValue("y"), "a/b c");
  EXPECT_EQ(request.QueryValue("z"), "");
  ASSERT_NE(request.Find("hOST"), nullptr);
  EXPECT_EQ(*request.Find("host"), "h");
  EXPECT_EQ(*request.Find("a"), "");
  EXPECT_EQ(request.Find("b"), nullptr);
  EXPECT_TRUE(request.keep_alive);
  EXPECT_FALSE(request.has_body);
}

TEST(RequestParser, StopsAfterTheMessageAndReadsTheNextOne) {
  const std::string one = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  const std::string bytes = one + "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n";
  RequestParser parser(Limits{});
  EXPECT_EQ(FeedAll(parser, bytes), one.size());
  EXPECT_EQ(parser.request().body, "abc");
  parser.Reset();
  EXPECT_FALSE(parser.started());
  FeedAll(parser, std::string_view(bytes).substr(one.size()));
  ASSERT_EQ(parser.state(), State::kDone);
  EXPECT_EQ(parser.request().target, "/2");
}

TEST(RequestParser, ReadsChunksWithExtensionsAndTrailers) {
  const RequestParser parser = Parse(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3;a=b\r\nabc\r\nA \r\n0123456789\r\n00\r\nX-Sum: 7\r\n\r\n");
  ASSERT_EQ(parser.state(), State::kDone) << parser.error();
  EXPECT_EQ(parser.request().body, "abc0123456789");
  ASSERT_EQ(parser.request().trailers.size(), 1U);
  EXPECT_EQ(parser.request().trailers[0].name, "X-Sum");
  EXPECT_EQ(parser.request().trailers[0].value, "7");
}

TEST(RequestParser, GivesTheSameForEverySplit) {
  const std::string bytes =
      "\r\nPOST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: "
      "chunked\r\n\r\n"
      "5\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n";
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    RequestParser parser(Limits{});
    size_t at = 0;
    while (at < bytes.size()) {
      const size_t size = std::min<size_t>(1 + random.Below(20), bytes.size() - at);
      EXPECT_EQ(FeedAll(parser, std::string_view(bytes).substr(at, size)), size);
      at += size;
    }
    ASSERT_EQ(parser.state(), State::kDone) << parser.error();
    EXPECT_EQ(parser.request().body, "hello world");
    EXPECT_EQ(parser.request().trailers.size(), 1U);
    EXPECT_TRUE(parser.request().expects_continue);
  }
}

TEST(RequestParser, KnowsWhenTheConnectionStaysOpen) {
  const auto keeps = [](std::string_view version, std::string_view connection) {
    std::string bytes = "GET / HTTP/";
    bytes.append(version).append("\r\nHost: h\r\n").append(connection).append("\r\n");
    return Parse(bytes).request().keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: x, Close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: keep-alive\r\n"));
}

TEST(RequestParser, RefusesWhatIsMalformedOrAmbiguous) {
  struct Case {
    std::string bytes;
    int status;
  };
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  const std::vector<Case> cases = {
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"GET / FTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400},
      {post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {post + "Content-Length: 1, 1\r\n\r\n", 400},
      {post + "Content-Length: -1\r\n\r\n", 400},
      {post + "Content-Length: +1\r\n\r\n", 400},
      {post + "Content-Length: 9999999999999999999\r\n\r\n", 400},
      {post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {chunked + "zz\r\n", 400},
      {chunked + "\r\n", 400},
      {chunked + "-1\r\n", 400},
      {chunked + "3\nabc\r\n", 400},
      {chunked + "3\r\nabcd\r\n", 400},
      {chunked + "1 2\r\n", 400},
      {chunked + "ffffffffffffffff\r\n", 400},
      {chunked + "0\r\nbad trailer\r\n\r\n", 400},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.bytes);
    const RequestParser parser = Parse(bad.bytes);
    EXPECT_EQ(parser.state(), State::kFailed);
    EXPECT_EQ(parser.error_status(), bad.status) << parser.error();
    EXPECT_NE(parser.error(), "");
  }
}

TEST(RequestParser, KeepsToItsLimits) {
  const Limits limits{.head_bytes = 100, .body_bytes = 10};
  EXPECT_EQ(Parse("GET /" + std::string(200, 'a'), limits).error_status(), 431);
  EXPECT_EQ(Parse("GET /" + std::string(200, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", limits)
                .error_status(),
            431);
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(Parse(post + "Content-Length: 11\r\n\r\n01234567890", limits).error_status(), 413);
  EXPECT_EQ(Parse(post + "Content-Length: 10\r\n\r\n0123456789", limits).state(), State::kDone);
  EXPECT_EQ(
      Parse(post + "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n", limits).error_status(),
      413);
}

TEST(RequestParser, CountsABodyThatIsDiscarded) {
  RequestParser parser(Limits{.body_bytes = 3});
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
  EXPECT_EQ(parser.Feed(head + "01234"), head.size());
  parser.DiscardBody();
  EXPECT_EQ(parser.Feed("01234"), 5U);
  EXPECT_EQ(parser.state(), State::kDone);
  EXPECT_EQ(parser.request().body, "");
  EXPECT_EQ(parser.request().body_bytes, 5U);
}

}  // namespace
}  // namespace outrigger::mock_ai
