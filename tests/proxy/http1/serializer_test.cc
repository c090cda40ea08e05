#include "proxy/http1/serializer.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using http::HeaderList;
using namespace std::string_view_literals;

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

HeaderList Headers(const Fields& fields) {
  HeaderList headers;
  for (const auto& [name, value] : fields) headers.Add(name, value);
  return headers;
}

// What `write` puts into `room` bytes, or the result's name.
template <class Write>
std::string Written(size_t room, Write write) {
  std::vector<char> buffer(room);
  ByteSink sink{buffer.data(), buffer.data() + room};
  const WriteResult result = write(sink);
  const std::string text(buffer.data(), static_cast<size_t>(sink.at - buffer.data()));
  if (result == WriteResult::kOk) return text;
  EXPECT_EQ(text, "") << "sink has moved";
  return result == WriteResult::kFull ? "full" : "unsafe";
}

std::string Request(const Fields& fields, const BodyFraming& body = {},
                    const HeadOptions& options = {},
                    const RequestLine& line = {"GET", "/a", "?b"}) {
  const HeaderList headers = Headers(fields);
  return Written(MaxHeadBytes(line, headers, options), [&](ByteSink& sink) {
    return WriteRequestHead(sink, line, headers, body, options);
  });
}

std::string Response(int status, const Fields& fields, const BodyFraming& body = {},
                     const HeadOptions& options = {}, std::string_view reason_phrase = {}) {
  const HeaderList headers = Headers(fields);
  return Written(MaxHeadBytes(reason_phrase, headers, options), [&](ByteSink& sink) {
    return WriteResponseHead(sink, status, reason_phrase, headers, body, options);
  });
}

TEST(Serializer, RequestHasOneNormalForm) {
  EXPECT_EQ(Request({{"accept", "*/*"}, {"Host", "h"}, {"X-a", ""}, {"accept", "b"}}),
            "GET /a?b HTTP/1.1\r\nHost: h\r\naccept: */*\r\nX-a: \r\naccept: b\r\n\r\n");
  EXPECT_EQ(Request({{"Host", "h"}}, {}, {}, {"OPTIONS", "*", ""}),
            "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
}

TEST(Serializer, FramingIsWrittenAnew) {
  const Fields fields = {{"Host", "h"}, {"Content-Length", "99"}, {"Transfer-Encoding", "gzip"}};
  EXPECT_EQ(Request(fields), "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(Request(fields, {BodyKind::kLength, 0}),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(Request(fields, {BodyKind::kLength, 18446744073709551615u}),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n");
  EXPECT_EQ(Request(fields, {BodyKind::kChunked, 0}),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(Serializer, FieldsOfThisHopEndHere) {
  EXPECT_EQ(Request({{"Host", "h"},
                     {"Connection", "keep-alive, X-Mine"},
                     {"Connection", "other"},
                     {"Keep-Alive", "timeout=5"},
                     {"Proxy-Connection", "keep-alive"},
                     {"Proxy-Authenticate", "Basic"},
                     {"Proxy-Authorization", "Basic x"},
                     {"TE", "gzip"},
                     {"Upgrade", "h2c"},
                     {"Trailer", "A"},
                     {"X-MINE", "1"},
                     {"Other", "2"},
                     {"X-Yours", "3"}}),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nX-Yours: 3\r\n\r\n");
}

TEST(Serializer, TrailersAreAnnouncedOnlyWithChunks) {
  EXPECT_EQ(Response(200, {{"Trailer", "A"}}, {BodyKind::kChunked, 0}),
            "HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(Response(200, {{"Trailer", "A"}}, {BodyKind::kLength, 1}),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
}

TEST(Serializer, TeOfTrailersGoesOn) {
  EXPECT_EQ(Request({{"Host", "h"}, {"TE", "gzip, trailers"}, {"Connection", "TE"}}),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nTE: trailers\r\n\r\n");
}

TEST(Serializer, OptionsAddConnectionUpgradeAndHost) {
  HeadOptions options;
  options.connection = ConnectionOption::kClose;
  options.host = "new";
  EXPECT_EQ(Request({{"Host", "old"}, {"A", "b"}}, {}, options),
            "GET /a?b HTTP/1.1\r\nHost: new\r\nA: b\r\nConnection: close\r\n\r\n");
  options = {};
  options.upgrade = "websocket";
  EXPECT_EQ(Request({{"Host", "h"}, {"Upgrade", "x"}, {"TE", "trailers"}}, {}, options),
            "GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, TE\r\nUpgrade: websocket\r\n"
            "TE: trailers\r\n\r\n");
  options = {};
  options.connection = ConnectionOption::kKeepAlive;
  EXPECT_EQ(Response(200, {}, {BodyKind::kLength, 2}, options),
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n");
}

TEST(Serializer, ResponseHasItsReasonOrTheUsualOne) {
  EXPECT_EQ(Response(200, {}, {}, {}, "Fine"), "HTTP/1.1 200 Fine\r\n\r\n");
  EXPECT_EQ(Response(429, {}), "HTTP/1.1 429 Too Many Requests\r\n\r\n");
  EXPECT_EQ(Response(599, {}), "HTTP/1.1 599 \r\n\r\n");
}

TEST(Serializer, StatusWithoutBodyHasNoFraming) {
  HeadOptions declared;
  declared.declared_length = 7;
  for (int status : {100, 103, 204}) {
    const std::string head = Response(status, {}, {BodyKind::kLength, 5}, declared);
    EXPECT_EQ(head.find("Content-Length"), std::string::npos) << head;
    EXPECT_EQ(Response(status, {}, {BodyKind::kChunked, 0}).find("Transfer"), std::string::npos);
  }
  EXPECT_EQ(Response(304, {}, {BodyKind::kChunked, 0}), "HTTP/1.1 304 Not Modified\r\n\r\n");
  EXPECT_EQ(Response(304, {}, {}, declared),
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
  EXPECT_EQ(Response(200, {}, {}, declared), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
}

TEST(Serializer, NothingThatReadsAsAnotherFieldIsWritten) {
  for (std::string_view value :
       {"a\r\nSet-Cookie: x"sv, "a\rb"sv, "a\nb"sv, "a\0b"sv, "\x7f"sv, "\r\n"sv}) {
    EXPECT_EQ(Request({{"Host", "h"}, {"X", value}}), "unsafe");
    EXPECT_EQ(Response(200, {{"X", value}}), "unsafe");
    EXPECT_EQ(Response(200, {}, {}, {}, value), "unsafe");
    HeadOptions options;
    options.host = value;
    EXPECT_EQ(Request({}, {}, options), "unsafe");
    options = {};
    options.upgrade = value;
    EXPECT_EQ(Request({{"Host", "h"}}, {}, options), "unsafe");
    EXPECT_EQ(Request({{"Host", "h"}}, {}, {}, {"GET", "/", value}), "unsafe");
    EXPECT_EQ(Request({{"Host", "h"}}, {}, {}, {value, "/", ""}), "unsafe");
  }
  for (std::string_view name : {""sv, "a b"sv, "a:"sv, "a\r\nb"sv, " a"sv, "\xc3\xa4"sv}) {
    EXPECT_EQ(Request({{"Host", "h"}, {name, "x"}}), "unsafe") << name;
    EXPECT_EQ(Response(200, {{name, "x"}}), "unsafe") << name;
  }
  for (std::string_view path : {""sv, "a"sv, "/a b"sv, "/a HTTP/1.1\r\nX: y"sv, "http://a/"sv}) {
    EXPECT_EQ(Request({{"Host", "h"}}, {}, {}, {"GET", path, ""}), "unsafe") << path;
  }
  EXPECT_EQ(Request({}), "unsafe") << "no Host";
  EXPECT_EQ(Request({{"Host", "h"}}, {BodyKind::kUntilClose, 0}), "unsafe");
  for (int status : {-1, 0, 99, 600, 1000}) EXPECT_EQ(Response(status, {}), "unsafe") << status;
}

TEST(Serializer, FullSinkIsLeftAsItWas) {
  const Fields fields = {{"Host", "h"}, {"TE", "trailers"}, {"A", "b"}};
  const RequestLine line{"GET", "/a", "?b"};
  HeadOptions options;
  options.connection = ConnectionOption::kClose;
  options.upgrade = "websocket";
  const BodyFraming body{BodyKind::kLength, 18446744073709551615u};
  const std::string whole = Request(fields, body, options);
  const HeaderList headers = Headers(fields);
  for (size_t room = 0; room <= whole.size(); ++room) {
    EXPECT_EQ(Written(room,
                      [&](ByteSink& sink) {
                        return WriteRequestHead(sink, line, headers, body, options);
                      }),
              room == whole.size() ? whole : "full")
        << room;
  }
}

TEST(Serializer, ChunksAreFramed) {
  const auto header = [](size_t room, uint64_t size) {
    return Written(room, [&](ByteSink& sink) { return WriteChunkHeader(sink, size); });
  };
  EXPECT_EQ(header(kMaxChunkHeaderBytes, 1), "1\r\n");
  EXPECT_EQ(header(kMaxChunkHeaderBytes, 0xabc), "abc\r\n");
  EXPECT_EQ(header(kMaxChunkHeaderBytes, 18446744073709551615u), "ffffffffffffffff\r\n");
  EXPECT_EQ(header(kMaxChunkHeaderBytes - 1, 18446744073709551615u), "full");
  EXPECT_EQ(header(kMaxChunkHeaderBytes, 0), "unsafe") << "it would end the body";
  const auto last = [](size_t room, const Fields& fields) {
    const HeaderList trailers = Headers(fields);
    return Written(room, [&](ByteSink& sink) { return WriteLastChunk(sink, trailers); });
  };
  EXPECT_EQ(last(100, {}), kLastChunk);
  EXPECT_EQ(last(100, {{"A", "b"}}), "0\r\nA: b\r\n\r\n");
  EXPECT_EQ(last(4, {}), "full");
  EXPECT_EQ(last(100, {{"A", "b\r\n"}}), "unsafe");
}

}  // namespace
}  // namespace outrigger::http1
