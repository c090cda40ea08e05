// The events that bench-upstream sends and bench-load reads back: a token of a chat answer with the
// time it was sent, so that the reader knows how long it was under way.
//
//   std::string text = FormatEvent({.sequence = 7, .sent_ns = NowNanos()});
//   SseReader reader;
//   reader.Feed(body_bytes, [&](const SseEvent& event) { ... });
//
// Both processes read CLOCK_MONOTONIC of the same machine.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::bench {

struct SseEvent {
  uint64_t sequence = 0;  // from 0, without a gap
  int64_t sent_ns = 0;
};

// One event with its blank line. Always the same size.
std::string FormatEvent(const SseEvent& event);
// The event that ends every stream.
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

// Splits a body into events; keeps an incomplete one for the next call.
class SseReader {
 public:
  // Calls `on_event(const SseEvent&)` for each complete event that carries a time.
  template <typename OnEvent>
  void Feed(std::string_view bytes, OnEvent on_event) {
    pending_.append(bytes);
    size_t start = 0;
    for (size_t end; (end = pending_.find("\n\n", start)) != std::string::npos; start = end + 2) {
      const std::string_view text = std::string_view(pending_).substr(start, end - start);
      SseEvent event;
      if (Parse(text, event)) {
        on_event(event);
      } else if (text == kDoneEvent.substr(0, kDoneEvent.size() - 2)) {
        is_done_ = true;
      }
    }
    pending_.erase(0, start);
  }

  // The last event was seen.
  bool is_done() const { return is_done_; }

 private:
  static bool Parse(std::string_view text, SseEvent& event);

  std::string pending_;
  bool is_done_ = false;
};

}  // namespace outrigger::bench
