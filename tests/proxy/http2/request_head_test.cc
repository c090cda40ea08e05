#include "proxy/http2/request_head.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace outrigger::http2 {
namespace {

using Kind = HeadVerdict::Kind;
using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kGet = {
    {":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/x?y"}};

Fields With(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

struct Head {
  explicit Head(const Fields& fields, bool is_ended = true) {
    request.arena = &arena;
    for (const auto& [name, value] : fields) {
      // Gone right after the call, as in nghttp2.
      const std::string name_copy = name;
      const std::string value_copy = value;
      is_decoded = reader.Add(name_copy, value_copy, request) && is_decoded;
    }
    verdict = reader.Finish(is_ended, request);
  }

  http1::HeadLimits limits;
  Arena arena;
  http::Request request;
  RequestHeadReader reader{limits};
  HeadVerdict verdict;
  bool is_decoded = true;
};

TEST(RequestHead, BecomesWhatHttp1WouldHaveSaid) {
  const Head head(
      With(kGet, {{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"te", "trailers"}}));
  ASSERT_EQ(head.verdict.kind, Kind::kOk) << head.verdict.message;
  EXPECT_EQ(head.request.method, http::Method::kGet);
  EXPECT_EQ(head.request.target, "/x?y");
  EXPECT_EQ(head.request.authority, "a");
  EXPECT_EQ(head.request.headers.Get("host"), "a");
  EXPECT_EQ(head.request.headers.Get("cookie"), "a=1; b=2");
  EXPECT_EQ(head.request.headers.size(), 4u);
}

// RFC 8441, 4.
TEST(RequestHead, TakesAnExtendedConnectForTheGetThatItStandsFor) {
  const Fields connect = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, kGet[1], kGet[2], kGet[3]};
  const Head head(connect, false);
  ASSERT_EQ(head.verdict.kind, Kind::kOk) << head.verdict.message;
  EXPECT_EQ(head.request.method, http::Method::kGet);
  EXPECT_EQ(head.request.method_name, "GET");
  EXPECT_EQ(head.request.upgrade, "websocket");
  EXPECT_EQ(head.request.target, "/x?y");

  const Fields without_protocol = {connect[0], connect[2], connect[3], connect[4]};
  EXPECT_EQ(Head(without_protocol, false).verdict.kind, Kind::kMalformed);
  for (const Fields& fields : std::vector<Fields>{
           {kGet[0], connect[1], kGet[1], kGet[2], kGet[3]},
           {connect[0], connect[1], connect[1], kGet[1], kGet[2], kGet[3]},
           {connect[0], {":protocol", ""}, kGet[1], kGet[2], kGet[3]},
           {connect[0], {":protocol", "web socket"}, kGet[1], kGet[2], kGet[3]},
           {connect[0], connect[1], kGet[2], kGet[3]},
           {connect[0], connect[1], kGet[1], kGet[3], {"host", "a"}},
           {connect[0], connect[1], kGet[1], kGet[2]},
           With(connect, {{"content-length", "0"}}),
           With(connect, {{"expect", "100-continue"}}),
           With(connect, {{"upgrade", "websocket"}}),
       }) {
    const Head bad(fields, false);
    EXPECT_EQ(bad.verdict.kind, Kind::kMalformed) << testing::PrintToString(fields);
  }
}

TEST(RequestHead, TakesAnUnknownMethodAndAnAsterisk) {
  Head unknown({{":method", "BREW"}, kGet[1], kGet[2], kGet[3]});
  EXPECT_EQ(unknown.verdict.kind, Kind::kOk);
  EXPECT_EQ(unknown.request.method_name, "BREW");
  Head options({{":method", "OPTIONS"}, kGet[1], kGet[2], {":path", "*"}});
  EXPECT_EQ(options.verdict.kind, Kind::kOk);
}

TEST(RequestHead, HostMayStandInForTheAuthorityOrAgreeWithIt) {
  EXPECT_EQ(Head({kGet[0], kGet[1], kGet[3], {"host", "b:1"}}).request.authority, "b:1");
  EXPECT_EQ(Head(With(kGet, {{"host", "A:80"}})).verdict.kind, Kind::kOk);
  EXPECT_EQ(Head(With(kGet, {{"host", "b"}})).verdict.kind, Kind::kMalformed);
}

TEST(RequestHead, RefusesWhatIsMalformedWithoutTheHelpOfNghttp2) {
  const std::vector<Fields> cases = {
      {},
      {kGet[1], kGet[2], kGet[3]},
      {kGet[0], kGet[2], kGet[3]},
      {kGet[0], kGet[1], kGet[3]},
      {kGet[0], kGet[1], kGet[2]},
      With(kGet, {kGet[0]}),
      With(kGet, {kGet[1]}),
      With(kGet, {kGet[2]}),
      With(kGet, {kGet[3]}),
      With(kGet, {{":status", "200"}}),
      With(kGet, {{":protocol", "websocket"}}),
      {kGet[0], kGet[1], kGet[2], {"x", "y"}, kGet[3]},
      {{":method", "GET /x HTTP/1.1\r\nHost: b\r\n\r\nGET"}, kGet[1], kGet[2], kGet[3]},
      {{":method", "G T"}, kGet[1], kGet[2], kGet[3]},
      {kGet[0], kGet[1], kGet[2], {":path", "/a b"}},
      {kGet[0], kGet[1], kGet[2], {":path", "/a\r\nx: y"}},
      {kGet[0], kGet[1], kGet[2], {":path", "/a#b"}},
      {kGet[0], kGet[1], kGet[2], {":path", "\xC3\xA4"}},
      {kGet[0], kGet[1], kGet[2], {":path", ""}},
      {kGet[0], kGet[1], kGet[2], {":path", "x"}},
      {kGet[0], kGet[1], kGet[2], {":path", "*"}},
      {kGet[0], kGet[1], kGet[2], {":path", "http://b/"}},
      {kGet[0], {":scheme", ""}, kGet[2], kGet[3]},
      {kGet[0], {":scheme", " http"}, kGet[2], kGet[3]},
      {kGet[0], {":scheme", "1http"}, kGet[2], kGet[3]},
      {kGet[0], {":scheme", "http\x80"}, kGet[2], kGet[3]},
      {{":method", ""}, kGet[1], kGet[2], kGet[3]},
      {{":method", "CONNECT"}},
      {{":method", "CONNECT"}, {":authority", ""}},
      {{":method", "CONNECT"}, kGet[2], kGet[3]},
      {{":method", "CONNECT"}, kGet[1], kGet[2]},
      With(kGet, {{"host", ""}}),
      {kGet[0], kGet[1], {":authority", ""}, kGet[3]},
      {kGet[0], kGet[1], {":authority", "u@a"}, kGet[3]},
      {kGet[0], kGet[1], {":authority", "a:99999"}, kGet[3]},
      {kGet[0], kGet[1], {":authority", "a b"}, kGet[3]},
      With(kGet, {{"X", "y"}}),
      With(kGet, {{"x y", "z"}}),
      With(kGet, {{"", "z"}}),
      With(kGet, {{"x", "a\nb"}}),
      With(kGet, {{"x", std::string("a\0b", 3)}}),
      With(kGet, {{"x", " a"}}),
      With(kGet, {{"x", "a "}}),
      With(kGet, {{"connection", "close"}}),
      With(kGet, {{"keep-alive", "x"}}),
      With(kGet, {{"proxy-connection", "x"}}),
      With(kGet, {{"transfer-encoding", "chunked"}}),
      With(kGet, {{"upgrade", "h2c"}}),
      With(kGet, {{"te", "gzip"}}),
      With(kGet, {{"te", "trailers, gzip"}}),
      With(kGet, {{"host", "a"}, {"host", "a"}}),
      With(kGet, {{"content-length", "1"}}),
      With(kGet, {{"content-length", "0"}, {"content-length", "0"}}),
      With(kGet, {{"content-length", "+0"}}),
      With(kGet, {{"content-length", ""}}),
  };
  for (const Fields& fields : cases) {
    const Head head(fields);
    EXPECT_EQ(head.verdict.kind, Kind::kMalformed)
        << (fields.empty() ? "nothing" : fields.back().first + ": " + fields.back().second);
  }
}

TEST(RequestHead, AnswersWhatIsWellFormedAndNotServed) {
  const std::vector<std::pair<Fields, http::Reason>> cases = {
      {{{":method", "CONNECT"}, {":authority", "a:22"}}, http::Reason::kNotImplemented},
      {{{":method", "PRI"}, kGet[1], kGet[2], kGet[3]}, http::Reason::kBadRequest},
      {{{":method", std::string(33, 'A')}, kGet[1], kGet[2], kGet[3]},
       http::Reason::kNotImplemented},
      {{kGet[0], {":scheme", "ftp"}, kGet[2], kGet[3]}, http::Reason::kBadRequest},
      {{kGet[0], kGet[1], kGet[2], {":path", "/" + std::string(8192, 'a')}},
       http::Reason::kUriTooLong},
      {With(kGet, {{"x", std::string(62000, 'a')}}), http::Reason::kHeadersTooLarge},
      {With(kGet, Fields(100, {"x", "y"})), http::Reason::kHeadersTooLarge},
      {With(kGet, {{"expect", "cake"}}), http::Reason::kBadRequest},
  };
  for (const auto& [fields, reason] : cases) {
    const Head head(fields);
    EXPECT_EQ(head.verdict.kind, Kind::kRefused) << fields.back().first;
    EXPECT_EQ(head.verdict.reason, reason) << fields.back().first;
    EXPECT_TRUE(head.is_decoded);
  }
}

TEST(RequestHead, LimitsAreThoseOfHttp1) {
  EXPECT_EQ(Head(With(kGet, Fields(99, {"x", "y"}))).verdict.kind, Kind::kOk);
  EXPECT_EQ(Head(With(kGet, Fields(500, {"cookie", "y"}))).verdict.kind, Kind::kOk);
  EXPECT_EQ(Head(With(kGet, {{"x", std::string(61000, 'a')}})).verdict.kind, Kind::kOk);
}

TEST(RequestHead, AnAbsurdHeadIsNotDecodedToItsEnd) {
  EXPECT_FALSE(Head(With(kGet, Fields(100, {"x", std::string(4000, 'a')}))).is_decoded);
}

TEST(RequestHead, ABodyMakesALengthAndAnExpectationMeanSomething) {
  const Fields post = With({{":method", "POST"}, kGet[1], kGet[2], kGet[3]},
                           {{"content-length", "5"}, {"expect", "100-continue"}});
  const Head head(post, false);
  ASSERT_EQ(head.verdict.kind, Kind::kOk);
  EXPECT_EQ(head.request.body_length, 5u);
  EXPECT_TRUE(head.request.expects_continue);
  EXPECT_EQ(Head({{":method", "TRACE"}, kGet[1], kGet[2], kGet[3]}, false).verdict.kind,
            Kind::kMalformed);
}

}  // namespace
}  // namespace outrigger::http2
