// Watches a `text/event-stream` body go by: when the first content came, whether it ended well,
// where events end. The bytes are not changed.
//
//   StreamObserver observer(StreamGrammar::kOpenAi);
//   const ChunkReport report = observer.Observe(chunk);
//   if (report.content_events > 0) RestartIdleTimer();
//   switch (observer.opening()) {                      // the commit gate (RT-5)
//     case StreamOpening::kUndecided: hold the bytes; break;
//     case StreamOpening::kCommit:    send head and held bytes; break;
//     case StreamOpening::kError:     make it StatusOfStreamError(grammar, observer.error());
//     break;
//   }
//
// One for each response; one worker. Keeps at most one incomplete event of 64 KiB (see
// buffered_bytes) and the data of one error event.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "filters/common/sse_parser.h"
#include "filters/common/stream_grammar.h"

namespace outrigger::common {

// What the first event that decides anything was.
enum class StreamOpening : uint8_t {
  kUndecided,  // nothing but comments, pings and preamble so far
  kCommit,     // content, or a terminal without any content
  kError,      // an error before any content
};

struct ChunkReport {
  size_t events = 0;  // complete ones, comments included
  size_t content_events = 0;
  // Bytes of this chunk up to the end of the last event that ended in it; 0 when none did. A CR
  // that ends the chunk ends the event; the LF that may follow then counts to the next.
  size_t complete_bytes = 0;
  // Bytes of this chunk up to the end of the first content event of the stream, in the chunk in
  // which that event ends.
  std::optional<size_t> first_content_end;
};

class StreamObserver {
 public:
  explicit StreamObserver(StreamGrammar grammar) : grammar_(grammar) {}

  ChunkReport Observe(std::string_view chunk);

  StreamGrammar grammar() const { return grammar_; }
  StreamOpening opening() const { return opening_; }
  bool content_seen() const { return content_events_ > 0; }
  bool terminal_seen() const { return is_terminal_seen_; }
  // The first error event: its class, and its data while that was not over the parser's limit (else
  // empty). kNone and empty before.
  StreamErrorClass error() const { return error_; }
  bool error_seen() const { return error_ != StreamErrorClass::kNone; }
  std::string_view error_data() const { return error_data_; }
  uint64_t events() const { return events_; }
  uint64_t content_events() const { return content_events_; }
  // No byte of an unfinished event has passed. Only then may an event of our own be appended: after
  // half an event it would complete that one with the wrong data.
  bool is_at_event_boundary() const { return !parser_.has_partial_event(); }
  // Whether a body that ended now is the whole answer (ID-8). `is_framed`: its end was told by
  // Content-Length, the last chunk or END_STREAM, not by closing. A stream with a terminal is
  // complete by it alone. Of the generic grammar, where a terminal is no duty, a framed end without
  // a half event is complete. After an error event nothing is.
  bool IsCompleteAtEnd(bool is_framed) const;

  size_t buffered_bytes() const { return parser_.buffered_bytes() + error_data_.capacity(); }

 private:
  const StreamGrammar grammar_;
  StreamOpening opening_ = StreamOpening::kUndecided;
  StreamErrorClass error_ = StreamErrorClass::kNone;
  bool is_terminal_seen_ = false;
  uint64_t events_ = 0;
  uint64_t content_events_ = 0;
  SseParser parser_;
  std::string error_data_;
};

}  // namespace outrigger::common
