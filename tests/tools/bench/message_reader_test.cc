#include "tools/bench/message_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace outrigger::bench {
namespace {

using Kind = MessageReader::Kind;

constexpr std::string_view kWithLength =
    "HTTP/1.1 200 OK\r\nX: y\r\ncontent-LENGTH: 5\r\n\r\nhello";
constexpr std::string_view kChunked =
    "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;x=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n";

TEST(MessageReader, ReadsABodyOfGivenLength) {
  std::string body;
  MessageReader reader(Kind::kResponse, &body);
  EXPECT_EQ(reader.Feed(kWithLength), static_cast<ptrdiff_t>(kWithLength.size()));
  EXPECT_TRUE(reader.is_done());
  EXPECT_EQ(reader.status(), 200);
  EXPECT_EQ(body, "hello");
  EXPECT_EQ(reader.body_bytes(), 5u);
  EXPECT_TRUE(reader.keeps_alive());
}

TEST(MessageReader, ReadsChunksAndTrailers) {
  std::string body;
  MessageReader reader(Kind::kResponse, &body);
  EXPECT_EQ(reader.Feed(kChunked), static_cast<ptrdiff_t>(kChunked.size()));
  EXPECT_TRUE(reader.is_done());
  EXPECT_EQ(reader.status(), 503);
  EXPECT_EQ(body, "hello world");
}

TEST(MessageReader, GivesTheSameWhereverTheBytesAreCut) {
  for (const std::string_view message : {kWithLength, kChunked}) {
    for (size_t first = 0; first <= message.size(); ++first) {
      for (size_t second = first; second <= message.size(); ++second) {
        std::string body;
        MessageReader reader(Kind::kResponse, &body);
        for (const std::string_view part :
             {message.substr(0, first), message.substr(first, second - first),
              message.substr(second)}) {
          ASSERT_EQ(reader.Feed(part), static_cast<ptrdiff_t>(part.size()));
        }
        ASSERT_TRUE(reader.is_done()) << "cut at " << first << " and " << second;
        ASSERT_EQ(body, message == kChunked ? "hello world" : "hello");
      }
    }
  }
}

TEST(MessageReader, StopsAtTheEndOfOneMessage) {
  const std::string two = std::string(kWithLength) + "HTTP/1.1 204 No Content\r\n\r\n";
  MessageReader reader(Kind::kResponse);
  EXPECT_EQ(reader.Feed(two), static_cast<ptrdiff_t>(kWithLength.size()));
  reader.Reset();
  const std::string_view rest = std::string_view(two).substr(kWithLength.size());
  EXPECT_EQ(reader.Feed(rest), static_cast<ptrdiff_t>(rest.size()));
  EXPECT_TRUE(reader.is_done());
  EXPECT_EQ(reader.status(), 204);
}

TEST(MessageReader, ReadsRequests) {
  MessageReader reader(Kind::kRequest);
  reader.Feed("POST /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{");
  EXPECT_TRUE(reader.has_head());
  EXPECT_FALSE(reader.is_done());
  reader.Feed("}");
  EXPECT_TRUE(reader.is_done());
  EXPECT_EQ(reader.method(), "POST");
  EXPECT_EQ(reader.target(), "/a?b=c");
  EXPECT_FALSE(reader.keeps_alive());
}

TEST(MessageReader, EndsACloseDelimitedBodyOnlyAtTheClose) {
  MessageReader reader(Kind::kResponse);
  reader.Feed("HTTP/1.1 200 OK\r\n\r\nsome");
  EXPECT_FALSE(reader.is_done());
  EXPECT_TRUE(reader.FinishAtClose());
  EXPECT_TRUE(reader.is_done());
  EXPECT_FALSE(reader.keeps_alive());
}

TEST(MessageReader, DoesNotTakeACutBodyForAWholeOne) {
  MessageReader reader(Kind::kResponse);
  reader.Feed(kWithLength.substr(0, kWithLength.size() - 1));
  EXPECT_FALSE(reader.FinishAtClose());
}

TEST(MessageReader, RefusesWhatIsNotHttp) {
  MessageReader reader(Kind::kResponse);
  EXPECT_EQ(reader.Feed("SSH-2.0-x y\r\n\r\n"), -1);
  MessageReader chunks(Kind::kResponse);
  EXPECT_EQ(chunks.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), -1);
}

}  // namespace
}  // namespace outrigger::bench
