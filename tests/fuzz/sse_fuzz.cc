// Any bytes as an event stream: the events equal those of the obvious parser however the bytes are
// split, they touch each other, and every grammar and the observer cope with them. The first byte
// decides how the rest is split.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "filters/common/stream_observer.h"
#include "proxy/base/random.h"
#include "tests/filters/common/sse_reference.h"

namespace outrigger::common {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

std::vector<std::string> Split(std::string_view text, uint64_t seed) {
  Random random(seed);
  const uint64_t longest = 1 + random.Below(64);
  std::vector<std::string> chunks;
  while (!text.empty()) {
    const size_t size = std::min<size_t>(text.size(), random.Below(longest + 1));
    chunks.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return chunks;
}

std::vector<Seen> Parse(const std::vector<std::string>& chunks) {
  std::vector<Seen> events;
  SseParser parser;
  uint64_t at = 0;
  for (const std::string& chunk : chunks) {
    const std::vector<char> bytes(chunk.begin(), chunk.end());  // exact size, for the sanitizer
    parser.Feed({bytes.data(), bytes.size()});
    SseEvent event;
    while (parser.Next(&event)) {
      Require(event.begin == at && event.end > at, "events do not touch each other");
      at = event.end;
      events.push_back(ToSeen(event));
    }
  }
  return events;
}

void Observe(StreamGrammar grammar, const std::string& text,
             const std::vector<std::string>& chunks) {
  StreamObserver whole(grammar);
  StreamObserver split(grammar);
  const ChunkReport report = whole.Observe(text);
  Require(report.complete_bytes <= text.size(), "an event ends outside its chunk");
  for (const std::string& chunk : chunks) {
    Require(split.Observe(chunk).complete_bytes <= chunk.size(), "an event ends outside its chunk");
  }
  Require(whole.events() == split.events(), "another number of events");
  Require(whole.content_events() == split.content_events(), "another number of content events");
  Require(whole.opening() == split.opening(), "another opening");
  Require(whole.error() == split.error(), "another error");
  Require(whole.error_data() == split.error_data(), "other error data");
  Require(whole.terminal_seen() == split.terminal_seen(), "another terminal");
  Require(whole.IsCompleteAtEnd(true) == split.IsCompleteAtEnd(true), "another completeness");
}

}  // namespace
}  // namespace outrigger::common

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace outrigger::common;  // NOLINT
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::string> chunks = Split(text, data[0]);
  const std::vector<Seen> events = Parse({text});
  Require(events == Parse(chunks), "other events when split");
  if (text.size() < SseParser::kMaxEventBytes) {
    Require(events == ReferenceParse(text), "other events than the obvious parser");
  }
  for (const StreamGrammar grammar :
       {StreamGrammar::kGeneric, StreamGrammar::kOpenAi, StreamGrammar::kAnthropic}) {
    Observe(grammar, text, chunks);
  }
  return 0;
}
