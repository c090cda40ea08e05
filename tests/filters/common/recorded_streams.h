// Streams as the services send them, in their grammar and with what each event means.

#pragma once

#include <string_view>
#include <vector>

#include "filters/common/stream_grammar.h"

namespace outrigger::common {

struct RecordedStream {
  std::string_view name;
  StreamGrammar grammar;
  std::string_view bytes;  // lines end in LF
  std::vector<EventKind> kinds;
};

inline const std::vector<RecordedStream>& RecordedStreams() {
  using enum EventKind;
  static const std::vector<RecordedStream> streams = {
      {"openai_chat",
       StreamGrammar::kOpenAi,
       R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}

data: [DONE]

)",
       {kPreamble, kContent, kContent, kContent, kContent, kTerminal}},
      {"openai_completions",
       StreamGrammar::kOpenAi,
       R"(: ping

data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":"Once","index":0,"logprobs":null,"finish_reason":null}]}

data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":" upon","index":0,"logprobs":null,"finish_reason":"length"}]}

data: [DONE]

)",
       {kComment, kContent, kContent, kTerminal}},
      {"openai_responses",
       StreamGrammar::kOpenAi,
       R"(event: response.created
data: {"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"output":[]}}

event: response.in_progress
data: {"type":"response.in_progress","response":{"id":"resp_1","status":"in_progress","error":null}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","content":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"Hi"}

event: response.completed
data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","error":null}}

)",
       {kPreamble, kPreamble, kContent, kContent, kTerminal}},
      {"anthropic_messages",
       StreamGrammar::kAnthropic,
       R"(event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

)",
       {kPreamble, kContent, kPreamble, kContent, kContent, kContent, kTerminal}},
      {"generic",
       StreamGrammar::kGeneric,
       R"(: a comment
: another one

id: 1
retry: 3000
data: first line
data:  second line
data

event: update
id
data:x
unknown: field

event: nothing

data: [DONE]

)",
       {kComment, kContent, kContent, kComment, kTerminal}},
  };
  return streams;
}

}  // namespace outrigger::common
