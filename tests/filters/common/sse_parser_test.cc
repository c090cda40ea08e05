#include "filters/common/sse_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "proxy/base/random.h"
#include "tests/filters/common/recorded_streams.h"
#include "tests/filters/common/sse_reference.h"

namespace outrigger::common {
namespace {

struct Parsed {
  std::vector<Seen> events;
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  bool has_partial_event = false;
};

Parsed ParseChunks(const std::vector<std::string>& chunks) {
  Parsed parsed;
  SseParser parser;
  for (const std::string& chunk : chunks) {
    // A copy of the exact size: a sanitizer sees every read outside the chunk and every late one.
    const std::vector<char> bytes(chunk.begin(), chunk.end());
    parser.Feed({bytes.data(), bytes.size()});
    SseEvent event;
    while (parser.Next(&event)) {
      parsed.events.push_back(ToSeen(event));
      parsed.spans.emplace_back(event.begin, event.end);
    }
    EXPECT_FALSE(parser.Next(&event));
  }
  parsed.has_partial_event = parser.has_partial_event();
  return parsed;
}

Parsed Parse(std::string_view text) { return ParseChunks({std::string(text)}); }

std::string WithLineEnds(std::string_view text, const std::vector<std::string>& ends) {
  std::string out;
  size_t line = 0;
  for (const char c : text) {
    if (c == '\n') {
      out += ends[line++ % ends.size()];
    } else {
      out += c;
    }
  }
  return out;
}

// No CR directly before an LF: the two would be one line end.
const std::vector<std::vector<std::string>> kLineEnds = {
    {"\n"}, {"\r\n"}, {"\r"}, {"\n", "\r\n"}, {"\r\n", "\n", "\r"}};

void ExpectTouchingSpans(const Parsed& parsed, size_t size) {
  uint64_t at = 0;
  for (const auto& [begin, end] : parsed.spans) {
    EXPECT_EQ(begin, at);
    EXPECT_GT(end, begin);
    at = end;
  }
  EXPECT_LE(at, size);
}

TEST(SseParser, ReadsTheFieldsOfTheStandard) {
  const Parsed parsed = Parse(
      "event: add\nid: 7\ndata: one\ndata:two\ndata:  three\n\n"
      "data\n\n"
      "data:\ndata:\n\n"
      "data: a:b\n\n"
      "Data: x\n dataset: y\n\n");
  ASSERT_EQ(parsed.events.size(), 5u);
  EXPECT_EQ(parsed.events[0], (Seen{"add", "one\ntwo\n three", "7", true, true, false}));
  EXPECT_EQ(parsed.events[1], (Seen{"", "", "", true, false, false}));
  EXPECT_EQ(parsed.events[2], (Seen{"", "\n", "", true, false, false}));
  EXPECT_EQ(parsed.events[3], (Seen{"", "a:b", "", true, false, false}));
  EXPECT_EQ(parsed.events[4], Seen());  // names are matched exactly; unknown ones are ignored
}

TEST(SseParser, IgnoresAnIdWithNul) {
  const Parsed parsed = Parse(std::string_view("id: 1\0\ndata: x\n\n", 16));
  ASSERT_EQ(parsed.events.size(), 1u);
  EXPECT_FALSE(parsed.events[0].has_id);
}

TEST(SseParser, ReportsBlocksThatDispatchNothing) {
  const Parsed parsed = Parse(": ping\n\nevent: x\n\n\n\n\n");
  ASSERT_EQ(parsed.events.size(), 2u);
  EXPECT_FALSE(parsed.events[0].has_data);
  EXPECT_EQ(parsed.events[1].type, "x");
  EXPECT_FALSE(parsed.events[1].has_data);
}

TEST(SseParser, SkipsOneByteOrderMarkAtTheStartOnly) {
  EXPECT_EQ(Parse("\xEF\xBB\xBF"
                  "data: x\n\n")
                .events[0]
                .data,
            "x");
  EXPECT_FALSE(Parse("\xEF\xBB\xBF\xEF\xBB\xBF"
                     "data: x\n\n")
                   .events[0]
                   .has_data);
  EXPECT_FALSE(Parse("\xEF\xBB"
                     "data: x\n\n")
                   .events[0]
                   .has_data);
  const Parsed later = Parse(
      "data: x\n\n\xEF\xBB\xBF"
      "data: y\n\n");
  EXPECT_FALSE(later.events[1].has_data);
}

TEST(SseParser, NeverReportsAnEventThatTheEndCutsOff) {
  const Parsed parsed = Parse("data: a\n\ndata: b\n");
  EXPECT_EQ(parsed.events.size(), 1u);
  EXPECT_TRUE(parsed.has_partial_event);
  EXPECT_FALSE(Parse("data: a\n\n").has_partial_event);
  EXPECT_FALSE(Parse("data: a\r\n\r").has_partial_event);
  EXPECT_FALSE(Parse("\n\n").has_partial_event);
  EXPECT_TRUE(Parse("\xEF").has_partial_event);
}

TEST(SseParser, GivesTheSameEventsForEverySplitAndLineEnd) {
  for (const RecordedStream& stream : RecordedStreams()) {
    const std::vector<Seen> expected = ReferenceParse(std::string(stream.bytes));
    ASSERT_EQ(expected.size(), stream.kinds.size());
    for (const std::vector<std::string>& ends : kLineEnds) {
      for (const std::string mark : {"", "\xEF\xBB\xBF"}) {
        const std::string text = mark + WithLineEnds(stream.bytes, ends);
        for (size_t split = 0; split <= text.size(); ++split) {
          const Parsed parsed = ParseChunks({text.substr(0, split), text.substr(split)});
          ASSERT_EQ(parsed.events, expected)
              << stream.name << " split at " << split << ", line ends " << ends.size();
          ExpectTouchingSpans(parsed, text.size());
        }
        std::vector<std::string> bytes;
        for (const char c : text) bytes.emplace_back(1, c);
        EXPECT_EQ(ParseChunks(bytes).events, expected) << stream.name << " byte by byte";
      }
    }
  }
}

// Small alphabets make the rare sequences frequent.
std::string RandomText(Random& random) {
  static const std::vector<std::string> kParts = {"\n",
                                                  "\n",
                                                  "\r",
                                                  "\r\n",
                                                  "\r\r",
                                                  "\n\n",
                                                  "data",
                                                  "data:",
                                                  "data: ",
                                                  "event: ",
                                                  "id:",
                                                  "id: ",
                                                  ":",
                                                  " ",
                                                  "x",
                                                  "retry: 1",
                                                  std::string(1, '\0'),
                                                  "\xEF",
                                                  "\xBB",
                                                  "\xBF",
                                                  "\xEF\xBB\xBF",
                                                  "[DONE]",
                                                  "{\"a\":1}"};
  std::string text;
  const uint64_t parts = random.Below(40);
  for (uint64_t i = 0; i < parts; ++i) text += kParts[random.Below(kParts.size())];
  return text;
}

std::vector<std::string> RandomSplit(const std::string& text, Random& random) {
  std::vector<std::string> chunks;
  for (size_t at = 0; at < text.size();) {
    const size_t size = random.Below(std::min<uint64_t>(text.size() - at, 12) + 1);
    chunks.push_back(text.substr(at, size));
    at += size;
  }
  return chunks;
}

TEST(SseParser, EqualsTheObviousParserOnRandomInput) {
  const uint64_t seed =
      static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (int round = 0; round < 50000; ++round) {
    const std::string text = RandomText(random);
    const std::vector<Seen> expected = ReferenceParse(text);
    const Parsed whole = Parse(text);
    ASSERT_EQ(whole.events, expected) << testing::PrintToString(text);
    ExpectTouchingSpans(whole, text.size());
    ASSERT_EQ(ParseChunks(RandomSplit(text, random)).events, expected)
        << testing::PrintToString(text);
  }
}

TEST(SseParser, EndsAnEventBehindTheLineFeedWhenItIsThere) {
  const Parsed whole = Parse("data: a\r\n\r\ndata: b\r\n\r\n");
  EXPECT_EQ(whole.spans[0], std::make_pair(uint64_t{0}, uint64_t{11}));
  EXPECT_EQ(whole.spans[1], std::make_pair(uint64_t{11}, uint64_t{22}));
  // Waiting for a line feed that may never come would hold the event back.
  const Parsed split = ParseChunks({"data: a\r\n\r", "\ndata: b\r\n\r\n"});
  EXPECT_EQ(split.spans[0], std::make_pair(uint64_t{0}, uint64_t{10}));
  EXPECT_EQ(split.spans[1], std::make_pair(uint64_t{10}, uint64_t{22}));
}

TEST(SseParser, DelimitsAnEventOfAnyLengthInBoundedMemory) {
  const std::string text = "data: " + std::string(1 << 20, 'x') + "\nid: 1\n\ndata: next\n\n";
  const Parsed whole = Parse(text);
  ASSERT_EQ(whole.events.size(), 2u);
  EXPECT_TRUE(whole.events[0].is_truncated);
  EXPECT_EQ(whole.events[0].data.size(), SseParser::kMaxEventBytes - 6);
  EXPECT_FALSE(whole.events[1].is_truncated);
  EXPECT_EQ(whole.spans[1].second, text.size());

  std::vector<std::string> chunks;
  for (size_t at = 0; at < text.size(); at += 1000) chunks.push_back(text.substr(at, 1000));
  EXPECT_EQ(ParseChunks(chunks).events, whole.events);

  SseParser parser;
  size_t most = 0;
  for (const std::string& chunk : chunks) {
    parser.Feed(chunk);
    SseEvent event;
    while (parser.Next(&event)) {
    }
    most = std::max(most, parser.buffered_bytes());
  }
  EXPECT_LE(most, 2 * SseParser::kMaxEventBytes);
  EXPECT_LE(parser.buffered_bytes(), 8192u);  // given back behind the long event
}

TEST(SseParser, TruncatesAtTheSameByteForEverySplit) {
  for (const size_t extra : {0, 1, 2}) {
    // "data: " and the line end count: the last one of these is over the limit.
    const std::string text =
        "data: " + std::string(SseParser::kMaxEventBytes - 8 + extra, 'x') + "\r\n\r\n";
    const Parsed whole = Parse(text);
    ASSERT_EQ(whole.events.size(), 1u);
    EXPECT_EQ(whole.events[0].is_truncated, extra > 0);
    for (size_t split = text.size() - 6; split <= text.size(); ++split) {
      EXPECT_EQ(ParseChunks({text.substr(0, split), text.substr(split)}).events, whole.events);
    }
  }
}

TEST(SseParser, DoesNotCopyAnEventThatLiesInOneChunk) {
  const std::string chunk = "event: a\ndata: {\"x\":1}\n\ndata: y\n\n";
  SseParser parser;
  parser.Feed(chunk);
  SseEvent event;
  while (parser.Next(&event)) {
    EXPECT_GE(event.data.data(), chunk.data());
    EXPECT_LT(event.data.data(), chunk.data() + chunk.size());
  }
  EXPECT_LE(parser.buffered_bytes(), 2 * std::string().capacity());
}

TEST(SseParser, TakesLinearTimeForCarriageReturnsAlone) {
  // With a scan to the next line feed for every line these 4 MiB would take minutes.
  std::string chunk;
  while (chunk.size() < (4u << 20)) chunk += "a\r";
  SseParser parser;
  parser.Feed(chunk);
  SseEvent event;
  EXPECT_FALSE(parser.Next(&event));
  parser.Feed("\r");
  ASSERT_TRUE(parser.Next(&event));
  EXPECT_TRUE(event.is_truncated);
}

}  // namespace
}  // namespace outrigger::common
