#include "tools/bench/sse_event.h"

#include <charconv>
#include <cinttypes>
#include <cstdio>

namespace outrigger::bench {
namespace {

bool ReadNumber(std::string_view text, std::string_view key, auto& value) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return false;
  const char* begin = text.data() + at + key.size();
  return std::from_chars(begin, text.data() + text.size(), value).ec == std::errc();
}

}  // namespace

std::string FormatEvent(const SseEvent& event) {
  char text[256];
  const int size = std::snprintf(
      text, sizeof text,
      "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"model\":\"bench\","
      "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"}}],"
      "\"sequence\":\"%08" PRIu64 "\",\"sent_ns\":\"%020" PRId64 "\"}\n\n",
      event.sequence, event.sent_ns);
  return std::string(text, static_cast<size_t>(size));
}

bool SseReader::Parse(std::string_view text, SseEvent& event) {
  return ReadNumber(text, "\"sequence\":\"", event.sequence) &&
         ReadNumber(text, "\"sent_ns\":\"", event.sent_ns);
}

}  // namespace outrigger::bench
