// What an SSE event of an AI service means: content, or one of the few things that are not.
//
//   const EventMeaning meaning = Classify(StreamGrammar::kOpenAi, event);
//   if (meaning.kind == EventKind::kContent) idle_timer.Restart();
//
// *Content* is every event that is not on the closed list of semantics TO-5: comment, ping,
// role-only delta, message_start, response.created, response.in_progress. So a finish_reason chunk,
// a usage chunk, an empty delta without a role, content_block_start, reasoning and tool-call deltas
// are content: each proves that the service is making progress. What cannot be understood is
// content too.
//
// Grammars:
//   kGeneric    every event with data is content; `event: ping` is not; `event: error` is an error;
//               a data of exactly [DONE] is the terminal.
//   kOpenAi     chat completions and completions (errors are objects with a top-level `error`, or
//               `"object":"error"`; terminal [DONE]) and responses (by event type; terminals
//               response.completed and response.incomplete; errors `error` and response.failed).
//   kAnthropic  messages, by event type or else the data's `type`; terminal message_stop.
//
// Text that the model produced is never mistaken for structure: JSON is walked as JSON, and only
// when the event holds one of the few words that could matter. Pure functions without allocation;
// any thread. Typical cost 10 to 300 ns.

#pragma once

#include <cstdint>
#include <string_view>

#include "filters/common/outcome.h"
#include "filters/common/sse_parser.h"

namespace outrigger::common {

enum class StreamGrammar : uint8_t { kGeneric, kOpenAi, kAnthropic };

enum class EventKind : uint8_t {
  kComment,   // comments, or fields without data
  kPreamble,  // ping, role-only delta, message_start, response.created, response.in_progress
  kContent,
  kTerminal,  // the stream is complete
  kError,
};

struct EventMeaning {
  EventKind kind = EventKind::kComment;
  StreamErrorClass error = StreamErrorClass::kNone;  // set for kError
};

EventMeaning Classify(StreamGrammar grammar, const SseEvent& event);

// The status that an error event before the first content becomes (RT-5): overloaded 529 where the
// service's own API has that status (Anthropic), else 503; rate limit 429; server 502; invalid 400.
int StatusOfStreamError(StreamGrammar grammar, StreamErrorClass error);

}  // namespace outrigger::common
