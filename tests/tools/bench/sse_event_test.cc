#include "tools/bench/sse_event.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace outrigger::bench {
namespace {

TEST(SseEvent, IsReadBackWhereverTheBytesAreCut) {
  const std::string text = FormatEvent({0, 123}) + FormatEvent({1, 456}) + std::string(kDoneEvent);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    SseReader reader;
    std::vector<SseEvent> events;
    const auto keep = [&](const SseEvent& event) { events.push_back(event); };
    reader.Feed(std::string_view(text).substr(0, cut), keep);
    reader.Feed(std::string_view(text).substr(cut), keep);
    ASSERT_EQ(events.size(), 2u) << "cut at " << cut;
    EXPECT_EQ(events[0].sequence, 0u);
    EXPECT_EQ(events[0].sent_ns, 123);
    EXPECT_EQ(events[1].sequence, 1u);
    EXPECT_EQ(events[1].sent_ns, 456);
    EXPECT_TRUE(reader.is_done());
  }
}

TEST(SseEvent, IsAlwaysOfTheSameSize) {
  EXPECT_EQ(FormatEvent({0, 0}).size(), FormatEvent({99'999'999, INT64_MAX}).size());
}

TEST(SseEvent, StreamIsNotDoneBeforeItsLastEvent) {
  SseReader reader;
  reader.Feed(FormatEvent({0, 1}), [](const SseEvent&) {});
  EXPECT_FALSE(reader.is_done());
}

}  // namespace
}  // namespace outrigger::bench
