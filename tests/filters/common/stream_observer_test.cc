#include "filters/common/stream_observer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "tests/filters/common/recorded_streams.h"

namespace outrigger::common {
namespace {

const RecordedStream& Recorded(std::string_view name) {
  for (const RecordedStream& stream : RecordedStreams()) {
    if (stream.name == name) return stream;
  }
  throw std::logic_error("no such stream");
}

uint64_t Count(const RecordedStream& stream, EventKind kind) {
  return static_cast<uint64_t>(std::count(stream.kinds.begin(), stream.kinds.end(), kind));
}

TEST(StreamObserver, EverySplitOfARecordedStreamGivesTheSameTotals) {
  for (const RecordedStream& stream : RecordedStreams()) {
    for (size_t split = 0; split <= stream.bytes.size(); ++split) {
      StreamObserver observer(stream.grammar);
      const ChunkReport first = observer.Observe(stream.bytes.substr(0, split));
      const ChunkReport second = observer.Observe(stream.bytes.substr(split));
      ASSERT_EQ(first.events + second.events, stream.kinds.size()) << stream.name;
      ASSERT_EQ(first.content_events + second.content_events, Count(stream, EventKind::kContent));
      ASSERT_EQ(observer.content_events(), Count(stream, EventKind::kContent));
      // The first content event ends in exactly one of the two chunks.
      ASSERT_NE(first.first_content_end.has_value(), second.first_content_end.has_value());
      EXPECT_EQ(observer.opening(), StreamOpening::kCommit);
      EXPECT_TRUE(observer.terminal_seen());
      EXPECT_FALSE(observer.error_seen());
      EXPECT_TRUE(observer.is_at_event_boundary());
      EXPECT_TRUE(observer.IsCompleteAtEnd(/*is_framed=*/true));
      EXPECT_TRUE(observer.IsCompleteAtEnd(/*is_framed=*/false));
    }
  }
}

TEST(StreamObserver, SaysWhereEventsEndInTheChunk) {
  StreamObserver observer(StreamGrammar::kGeneric);
  ChunkReport report = observer.Observe(": ping\n\ndata: a\n\ndata: b");
  EXPECT_EQ(report.events, 2u);
  EXPECT_EQ(report.complete_bytes, 17u);
  EXPECT_EQ(report.first_content_end, 17u);
  EXPECT_FALSE(observer.is_at_event_boundary());
  report = observer.Observe("cd");
  EXPECT_EQ(report.complete_bytes, 0u);
  EXPECT_EQ(report.first_content_end, std::nullopt);
  report = observer.Observe("\n\ndata: c\n\nda");
  EXPECT_EQ(report.events, 2u);
  EXPECT_EQ(report.complete_bytes, 11u);
}

TEST(StreamObserver, PingsAndPreambleDecideNothing) {
  StreamObserver openai(StreamGrammar::kOpenAi);
  openai.Observe(": ping\n\n");
  openai.Observe(R"(data: {"choices":[{"delta":{"role":"assistant","content":""}}]})"
                 "\n\n");
  EXPECT_EQ(openai.opening(), StreamOpening::kUndecided);
  EXPECT_FALSE(openai.content_seen());
  openai.Observe("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n");
  EXPECT_EQ(openai.opening(), StreamOpening::kUndecided);  // not complete yet
  openai.Observe("\n");
  EXPECT_EQ(openai.opening(), StreamOpening::kCommit);
}

TEST(StreamObserver, AnErrorBeforeContentIsTheOpening) {
  StreamObserver observer(StreamGrammar::kAnthropic);
  const std::string_view data = R"({"type":"error","error":{"type":"overloaded_error"}})";
  observer.Observe("event: message_start\ndata: {\"type\":\"message_start\"}\n\n");
  observer.Observe("event: error\ndata: " + std::string(data) + "\n\n");
  EXPECT_EQ(observer.opening(), StreamOpening::kError);
  EXPECT_EQ(observer.error(), StreamErrorClass::kOverloaded);
  EXPECT_EQ(observer.error_data(), data);
  EXPECT_FALSE(observer.IsCompleteAtEnd(/*is_framed=*/true));
}

TEST(StreamObserver, InOneChunkTheFirstDecisiveEventWins) {
  const std::string content = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
  const std::string error = "data: {\"error\":{\"code\":500}}\n\n";
  StreamObserver content_first(StreamGrammar::kOpenAi);
  content_first.Observe(content + error);
  EXPECT_EQ(content_first.opening(), StreamOpening::kCommit);
  EXPECT_TRUE(content_first.error_seen());
  StreamObserver error_first(StreamGrammar::kOpenAi);
  error_first.Observe(error + content);
  EXPECT_EQ(error_first.opening(), StreamOpening::kError);
}

TEST(StreamObserver, ATerminalWithoutContentCommits) {
  StreamObserver observer(StreamGrammar::kOpenAi);
  observer.Observe("data: [DONE]\n\n");
  EXPECT_EQ(observer.opening(), StreamOpening::kCommit);
  EXPECT_FALSE(observer.content_seen());
}

// Trap 7: a stream without its terminal is not the whole answer, however cleanly it was framed.
TEST(StreamObserver, AStreamWithoutItsTerminalIsNotComplete) {
  for (const std::string_view name :
       {"openai_chat", "openai_completions", "openai_responses", "anthropic_messages"}) {
    const RecordedStream& stream = Recorded(name);
    for (size_t size = 0; size < stream.bytes.size() - 1; ++size) {
      StreamObserver observer(stream.grammar);
      observer.Observe(stream.bytes.substr(0, size));
      ASSERT_FALSE(observer.IsCompleteAtEnd(/*is_framed=*/true)) << name << " cut at " << size;
    }
  }
}

TEST(StreamObserver, AnErrorAfterTheTerminalStillFails) {
  StreamObserver observer(StreamGrammar::kOpenAi);
  observer.Observe("data: {}\n\ndata: [DONE]\n\nevent: error\ndata: {}\n\n");
  EXPECT_TRUE(observer.terminal_seen());
  EXPECT_FALSE(observer.IsCompleteAtEnd(/*is_framed=*/true));
}

TEST(StreamObserver, AGenericStreamIsCompleteAtItsFramedEnd) {
  StreamObserver observer(StreamGrammar::kGeneric);
  observer.Observe("data: a\n\n");
  EXPECT_TRUE(observer.IsCompleteAtEnd(/*is_framed=*/true));
  EXPECT_FALSE(observer.IsCompleteAtEnd(/*is_framed=*/false));
  observer.Observe("data: b");
  EXPECT_FALSE(observer.IsCompleteAtEnd(/*is_framed=*/true));
}

TEST(StreamObserver, ATruncatedEventIsContentAndItsErrorDataIsNotKept) {
  StreamObserver observer(StreamGrammar::kOpenAi);
  const std::string big(2 * SseParser::kMaxEventBytes, 'x');
  observer.Observe(R"(data: {"choices":[{"delta":{"role":"assistant","content":")" + big +
                   "\"}}]}\n\n");
  EXPECT_EQ(observer.content_events(), 1u);
  observer.Observe(R"(data: {"error":{"code":429,"message":")" + big + "\"}}\n\n");
  EXPECT_EQ(observer.error(), StreamErrorClass::kRateLimit);
  EXPECT_EQ(observer.error_data(), "");
}

}  // namespace
}  // namespace outrigger::common
