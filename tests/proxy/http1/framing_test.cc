#include "proxy/http1/framing.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using http::HeaderList;
using http::Method;
using http::Reason;

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

HeaderList Headers(const Fields& fields) {
  HeaderList headers;
  for (const auto& [name, value] : fields) headers.Add(name, value);
  return headers;
}

struct RequestResult {
  FramingError error;
  RequestFraming framing;
};

RequestResult Request(const Fields& fields, Method method = Method::kPost, uint8_t minor = 1) {
  RequestResult out;
  RequestHead head;
  head.method = method;
  head.minor_version = minor;
  // Static text only: the views outlive the list.
  out.error = GetRequestFraming(head, Headers(fields), out.framing);
  return out;
}

struct ResponseResult {
  FramingError error;
  ResponseFraming framing;
};

ResponseResult Response(const Fields& fields, int status = 200, Method method = Method::kGet,
                        uint8_t minor = 1) {
  ResponseResult out;
  ResponseHead head;
  head.status = status;
  head.minor_version = minor;
  out.error = GetResponseFraming(method, head, Headers(fields), out.framing);
  return out;
}

TEST(RequestFraming, FollowsTheOneFieldThereIs) {
  struct Case {
    Fields fields;
    BodyFraming body;
  };
  const Case cases[] = {
      {{}, {BodyKind::kNone, 0}},
      {{{"Content-Length", "0"}}, {BodyKind::kLength, 0}},
      {{{"Content-Length", "42"}}, {BodyKind::kLength, 42}},
      {{{"content-length", "0042"}}, {BodyKind::kLength, 42}},
      {{{"Content-Length", "9223372036854775807"}}, {BodyKind::kLength, 9223372036854775807u}},
      {{{"Transfer-Encoding", "chunked"}}, {BodyKind::kChunked, 0}},
      {{{"transfer-encoding", "Chunked"}}, {BodyKind::kChunked, 0}},
  };
  for (const Case& c : cases) {
    const RequestResult result = Request(c.fields);
    EXPECT_TRUE(result.error.ok()) << result.error.message;
    EXPECT_EQ(result.framing.body, c.body);
  }
}

TEST(RequestFraming, WhatCouldBeReadInTwoWaysIsRefused) {
  struct Case {
    Fields fields;
    Reason reason = Reason::kBadRequest;
    uint8_t minor = 1;
  };
  const Case cases[] = {
      // Content-Length.
      {{{"Content-Length", ""}}},
      {{{"Content-Length", "+5"}}},
      {{{"Content-Length", "-5"}}},
      {{{"Content-Length", "5 "}}},
      {{{"Content-Length", "5 5"}}},
      {{{"Content-Length", "5,5"}}},
      {{{"Content-Length", "5, 5"}}},
      {{{"Content-Length", "0x5"}}},
      {{{"Content-Length", "5a"}}},
      {{{"Content-Length", "5.0"}}},
      {{{"Content-Length", "1e3"}}},
      {{{"Content-Length", "1_000"}}},
      {{{"Content-Length", "9223372036854775808"}}},
      {{{"Content-Length", "18446744073709551616"}}},
      {{{"Content-Length", "18446744073709551621"}}},
      {{{"Content-Length", "99999999999999999999999999"}}},
      {{{"Content-Length", "5"}, {"Content-Length", "5"}}},
      {{{"Content-Length", "5"}, {"content-length", "6"}}},
      // Transfer-Encoding.
      {{{"Transfer-Encoding", ""}}},
      {{{"Transfer-Encoding", "identity"}}},
      {{{"Transfer-Encoding", "gzip"}}},
      {{{"Transfer-Encoding", "xchunked"}}},
      {{{"Transfer-Encoding", "chunkedx"}}},
      {{{"Transfer-Encoding", "chunked;q=1"}}},
      {{{"Transfer-Encoding", "\"chunked\""}}},
      {{{"Transfer-Encoding", "chunked, identity"}}},
      {{{"Transfer-Encoding", "chunked, gzip"}}},
      {{{"Transfer-Encoding", "chunked, chunked"}}},
      {{{"Transfer-Encoding", "gzip, chunked, chunked"}}},
      {{{"Transfer-Encoding", ",chunked"}}},
      {{{"Transfer-Encoding", "chunked,"}}},
      {{{"Transfer-Encoding", "gzip; q=1, chunked"}}},
      {{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}},
      {{{"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}}},
      {{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "identity"}}},
      {{{"Transfer-Encoding", "gzip, chunked"}}, Reason::kNotImplemented},
      {{{"Transfer-Encoding", "chunked"}}, Reason::kBadRequest, 0},
      // Both.
      {{{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}},
      {{{"Transfer-Encoding", "chunked"}, {"Content-Length", "5"}}},
      {{{"Content-Length", "5"}, {"Transfer-Encoding", "identity"}}},
      {{{"Content-Length", "0"}, {"Transfer-Encoding", "gzip, chunked"}}},
      {{{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}, Reason::kBadRequest, 0},
  };
  for (const Case& c : cases) {
    const RequestResult result = Request(c.fields, Method::kPost, c.minor);
    EXPECT_EQ(result.error.reason, c.reason) << Print(Headers(c.fields));
  }
}

TEST(RequestFraming, ResponsesAreHeldToTheSameRules) {
  const Fields cases[] = {
      {{"Content-Length", "+5"}},
      {{"Content-Length", "5"}, {"Content-Length", "5"}},
      {{"Content-Length", "5, 5"}},
      {{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}},
      {{"Transfer-Encoding", "gzip"}},
      {{"Transfer-Encoding", "gzip, chunked"}},
      {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
  };
  for (const Fields& fields : cases) {
    EXPECT_EQ(Response(fields).error.reason, Reason::kUpstreamProtocol) << Print(Headers(fields));
  }
  EXPECT_EQ(Response({{"Transfer-Encoding", "chunked"}}, 200, Method::kGet, 0).error.reason,
            Reason::kUpstreamProtocol);
}

TEST(RequestFraming, TraceHasNoBody) {
  EXPECT_EQ(Request({{"Content-Length", "1"}}, Method::kTrace).error.reason, Reason::kBadRequest);
  EXPECT_EQ(Request({{"Transfer-Encoding", "chunked"}}, Method::kTrace).error.reason,
            Reason::kBadRequest);
  EXPECT_TRUE(Request({}, Method::kTrace).error.ok());
}

TEST(RequestFraming, PersistenceFollowsVersionAndConnection) {
  struct Case {
    Fields fields;
    uint8_t minor;
    bool keep_alive;
  };
  const Case cases[] = {
      {{}, 1, true},
      {{}, 0, false},
      {{{"Connection", "close"}}, 1, false},
      {{{"Connection", "CLOSE"}}, 1, false},
      {{{"Connection", "x, close"}}, 1, false},
      {{{"Connection", "x"}, {"Connection", "close"}}, 1, false},
      {{{"Connection", "keep-alive"}}, 0, true},
      {{{"Connection", "Keep-Alive, x"}}, 0, true},
      {{{"Connection", "keep-alive, close"}}, 0, false},
      {{{"Connection", "keep-alive, close"}}, 1, false},
      {{{"Connection", "closed"}}, 1, true},
      {{{"Proxy-Connection", "close"}}, 1, true},
      {{{"Proxy-Connection", "keep-alive"}}, 0, false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Request(c.fields, Method::kGet, c.minor).framing.keep_alive, c.keep_alive)
        << Print(Headers(c.fields));
    // The same with a body of known length.
    HeaderList headers = Headers(c.fields);
    headers.Add("Content-Length", "5");
    ResponseHead head{200, {}, c.minor};
    ResponseFraming framing;
    ASSERT_TRUE(GetResponseFraming(Method::kGet, head, headers, framing).ok());
    EXPECT_EQ(framing.keep_alive, c.keep_alive) << Print(Headers(c.fields));
  }
}

TEST(RequestFraming, ExpectationIsContinueOrAnError) {
  EXPECT_TRUE(
      Request({{"Expect", "100-continue"}, {"Content-Length", "5"}}).framing.expects_continue);
  EXPECT_TRUE(Request({{"Expect", "100-Continue"}, {"Transfer-Encoding", "chunked"}})
                  .framing.expects_continue);
  // Nothing to wait for.
  EXPECT_FALSE(Request({{"Expect", "100-continue"}}).framing.expects_continue);
  EXPECT_FALSE(
      Request({{"Expect", "100-continue"}, {"Content-Length", "0"}}).framing.expects_continue);
  // RFC 9110, 10.1.1: ignored in HTTP/1.0.
  const RequestResult old =
      Request({{"Expect", "100-continue"}, {"Content-Length", "5"}}, Method::kPost, 0);
  EXPECT_TRUE(old.error.ok());
  EXPECT_FALSE(old.framing.expects_continue);
  EXPECT_EQ(Request({{"Expect", "x"}}, Method::kGet, 0).error.reason, Reason::kBadRequest);
  EXPECT_EQ(Request({{"Expect", "200-ok"}}).error.reason, Reason::kBadRequest);
  EXPECT_EQ(Request({{"Expect", ""}}).error.reason, Reason::kBadRequest);
  EXPECT_EQ(Request({{"Expect", "100-continue, x"}}).error.reason, Reason::kBadRequest);
  EXPECT_EQ(Request({{"Expect", "100-continue"}, {"Expect", "x"}}).error.reason,
            Reason::kBadRequest);
  EXPECT_EQ(Request({{"Expect", "x"}, {"Expect", "100-continue"}}).error.reason,
            Reason::kBadRequest);
}

TEST(RequestFraming, UpgradeNeedsItsConnectionOption) {
  EXPECT_EQ(
      Request({{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}, Method::kGet).framing.upgrade,
      "websocket");
  EXPECT_EQ(Request({{"Upgrade", "websocket"}}, Method::kGet).framing.upgrade, "");
  EXPECT_EQ(Request({{"Connection", "upgrade"}, {"Upgrade", "websocket"}, {"Upgrade", "h2c"}},
                    Method::kGet)
                .framing.upgrade,
            "");
  EXPECT_EQ(Request({{"Connection", "upgrade"}}, Method::kGet).framing.upgrade, "");
  EXPECT_EQ(Request({{"Connection", "upgrade"}, {"Upgrade", "websocket"}}, Method::kGet, 0)
                .framing.upgrade,
            "");
}

TEST(RequestFraming, ConnectionMayNotNameWhatTheServiceReliesOn) {
  for (std::string_view name :
       {"Authorization", "host", "Content-Length", "X-Forwarded-For", "Cookie", "Idempotency-Key",
        "x-outrigger-attempt", "traceparent"}) {
    const std::string value = "keep-alive, " + std::string(name);
    EXPECT_EQ(Request({{"Connection", value}}).error.reason, Reason::kBadRequest) << name;
  }
  for (std::string_view value : {"close", "keep-alive, X-Mine", "TE", "Upgrade, HTTP2-Settings",
                                 "Transfer-Encoding", ",", "Trailer", "Proxy-Authorization"}) {
    EXPECT_TRUE(Request({{"Connection", value}}).error.ok()) << value;
  }
}

TEST(ResponseFraming, FollowsStatusMethodAndFields) {
  struct Case {
    Fields fields;
    int status;
    Method method;
    BodyFraming body;
    bool keep_alive = true;
  };
  const Case cases[] = {
      {{{"Content-Length", "5"}}, 200, Method::kGet, {BodyKind::kLength, 5}},
      {{{"Content-Length", "5"}}, 500, Method::kPost, {BodyKind::kLength, 5}},
      {{{"Transfer-Encoding", "chunked"}}, 200, Method::kGet, {BodyKind::kChunked, 0}},
      {{}, 200, Method::kGet, {BodyKind::kUntilClose, 0}, false},
      {{}, 404, Method::kPost, {BodyKind::kUntilClose, 0}, false},
      // RFC 9112, 6.3: no body whatever the fields say.
      {{{"Content-Length", "5"}}, 200, Method::kHead, {}},
      {{{"Transfer-Encoding", "chunked"}}, 200, Method::kHead, {}},
      {{}, 200, Method::kHead, {}},
      {{{"Content-Length", "5"}}, 304, Method::kGet, {}},
      {{}, 304, Method::kGet, {}},
      {{}, 204, Method::kGet, {}},
      {{{"Content-Length", "0"}}, 204, Method::kGet, {}},
      {{}, 100, Method::kPost, {}},
      {{}, 103, Method::kPost, {}},
      // Contradictions: the bytes may come nevertheless.
      {{{"Content-Length", "5"}}, 204, Method::kGet, {}, false},
      {{{"Transfer-Encoding", "chunked"}}, 204, Method::kGet, {}, false},
      {{{"Content-Length", "0"}}, 103, Method::kGet, {}},
  };
  for (const Case& c : cases) {
    const ResponseResult result = Response(c.fields, c.status, c.method);
    EXPECT_TRUE(result.error.ok()) << result.error.message;
    EXPECT_EQ(result.framing.body, c.body) << c.status << " " << Print(Headers(c.fields));
    EXPECT_EQ(result.framing.keep_alive, c.keep_alive)
        << c.status << " " << Print(Headers(c.fields));
  }
}

TEST(ResponseFraming, InterimResponseAnnouncesNoBody) {
  for (const Fields& fields :
       {Fields{{"Content-Length", "5"}}, Fields{{"Transfer-Encoding", "chunked"}}}) {
    for (const int status : {100, 101, 103, 199}) {
      EXPECT_EQ(Response(fields, status).error.reason, Reason::kUpstreamProtocol) << status;
    }
  }
}

TEST(ResponseFraming, LengthThatABodyWouldHaveIsRemembered) {
  EXPECT_EQ(Response({{"Content-Length", "5"}}, 200, Method::kHead).framing.declared_length, 5u);
  EXPECT_EQ(Response({{"Content-Length", "5"}}, 304).framing.declared_length, 5u);
  EXPECT_EQ(Response({}, 304).framing.declared_length, std::nullopt);
  EXPECT_EQ(Response({{"Content-Length", "5"}}, 200).framing.declared_length, std::nullopt);
  EXPECT_EQ(Response({{"Content-Length", "x"}}, 200, Method::kHead).error.reason,
            Reason::kUpstreamProtocol);
}

TEST(ResponseFraming, SwitchingProtocolsIsMarked) {
  const ResponseResult result =
      Response({{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}, 101);
  EXPECT_TRUE(result.framing.is_switching);
  EXPECT_EQ(result.framing.upgrade, "websocket");
  EXPECT_FALSE(Response({}, 200).framing.is_switching);
}

TEST(HopByHop, NominatedFieldsEndHereUnlessTheProxyActsOnThem) {
  const HeaderList headers = Headers({{"Connection", "X-Mine, Authorization"},
                                      {"connection", "other"},
                                      {"x-mine", "1"},
                                      {"Other", "2"},
                                      {"X-Yours", "3"},
                                      {"Authorization", "4"}});
  std::string nominated;
  for (const http::HeaderField& field : headers) {
    if (IsNominated(headers, field)) nominated += std::string(field.name) + " ";
  }
  EXPECT_EQ(nominated, "x-mine Other ");
}

}  // namespace
}  // namespace outrigger::http1
