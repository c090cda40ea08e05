#include "tools/mock-ai/wire.h"

#include <string>

#include "gtest/gtest.h"

namespace outrigger::mock_ai {
namespace {

std::string Head(const Answer& answer, const HeadOptions& options = {}) {
  std::string out;
  AppendHead(answer, options, out);
  return out;
}

TEST(AppendHead, WritesTheFramingOfTheAnswer) {
  Answer answer = MakeAnswer(200, "text/plain", "abc");
  EXPECT_EQ(Head(answer),
            "HTTP/1.1 200 OK\r\nserver: mock-ai\r\ncontent-type: text/plain\r\n"
            "content-length: 3\r\n\r\n");
  answer.framing = Framing::kChunked;
  answer.trailers.push_back({"x", "1"});
  EXPECT_EQ(Head(answer),
            "HTTP/1.1 200 OK\r\nserver: mock-ai\r\ncontent-type: text/plain\r\n"
            "trailer: x\r\ntransfer-encoding: chunked\r\n\r\n");
  answer.framing = Framing::kUntilClose;
  answer.version_minor = 0;
  EXPECT_EQ(Head(answer), "HTTP/1.0 200 OK\r\nserver: mock-ai\r\ncontent-type: text/plain\r\n\r\n");
}

TEST(AppendHead, SaysWhatHappensToTheConnection) {
  const Answer answer = MakeAnswer(204, "", "");
  EXPECT_EQ(
      Head(answer, {.date = "D", .keep_alive = "timeout=5"}),
      "HTTP/1.1 204 No Content\r\ndate: D\r\nserver: mock-ai\r\nkeep-alive: timeout=5\r\n\r\n");
  EXPECT_EQ(Head(answer, {.close = true}),
            "HTTP/1.1 204 No Content\r\nserver: mock-ai\r\nconnection: close\r\n\r\n");
}

TEST(AppendChunk, NeverWritesTheLastChunkByAccident) {
  std::string out;
  AppendChunk("", out);
  EXPECT_EQ(out, "");
  AppendChunk(std::string(26, 'x'), out);
  EXPECT_EQ(out, "1a\r\n" + std::string(26, 'x') + "\r\n");
}

TEST(AppendFill, IsTheSamePatternFromEveryOffset) {
  std::string whole;
  AppendFill(0, 100'000, whole);
  ASSERT_EQ(whole.size(), 100'000U);
  EXPECT_EQ(whole.substr(0, 28), "abcdefghijklmnopqrstuvwxyzab");
  for (const size_t offset : {1U, 25U, 26U, 26'623U, 26'624U, 70'001U}) {
    std::string part;
    AppendFill(offset, 30'000 - offset % 7, part);
    EXPECT_EQ(part.substr(0, 100'000 - offset), whole.substr(offset, part.size())) << offset;
  }
}

}  // namespace
}  // namespace outrigger::mock_ai
