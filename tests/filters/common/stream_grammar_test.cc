#include "filters/common/stream_grammar.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/filters/common/recorded_streams.h"

namespace outrigger::common {
namespace {

using enum EventKind;

constexpr StreamGrammar kAllGrammars[] = {StreamGrammar::kGeneric, StreamGrammar::kOpenAi,
                                          StreamGrammar::kAnthropic};

EventMeaning Meaning(StreamGrammar grammar, std::string_view data, std::string_view type = "") {
  SseEvent event;
  event.has_data = true;
  event.data = data;
  event.type = type;
  return Classify(grammar, event);
}

EventKind OpenAi(std::string_view data, std::string_view type = "") {
  return Meaning(StreamGrammar::kOpenAi, data, type).kind;
}

EventKind Anthropic(std::string_view data, std::string_view type = "") {
  return Meaning(StreamGrammar::kAnthropic, data, type).kind;
}

std::string Chunk(std::string_view delta, std::string_view finish_reason = "null") {
  return R"({"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":)" +
         std::string(delta) + R"(,"finish_reason":)" + std::string(finish_reason) + "}]}";
}

TEST(StreamGrammar, UnderstandsRecordedStreams) {
  for (const RecordedStream& stream : RecordedStreams()) {
    SseParser parser;
    parser.Feed(stream.bytes);
    SseEvent event;
    std::vector<EventKind> kinds;
    while (parser.Next(&event)) kinds.push_back(Classify(stream.grammar, event).kind);
    EXPECT_EQ(kinds, stream.kinds) << stream.name;
  }
}

TEST(StreamGrammar, CommentsAndPingsAreNotContentInAnyGrammar) {
  for (const StreamGrammar grammar : kAllGrammars) {
    EXPECT_EQ(Classify(grammar, SseEvent()).kind, kComment);
    EXPECT_EQ(Meaning(grammar, "", "ping").kind, kPreamble);
    EXPECT_EQ(Meaning(grammar, R"({"type":"ping"})", "ping").kind, kPreamble);
  }
  EXPECT_EQ(Anthropic(R"({"type": "ping"})"), kPreamble);
}

TEST(StreamGrammar, ARoleOnlyDeltaIsNotContent) {
  for (const std::string_view delta :
       {R"({"role":"assistant"})", R"({"role":"assistant","content":""})",
        R"({"role":"assistant","content":null})", R"({"content":"","role":"assistant"})",
        R"({ "role" : "assistant" , "content" : "" , "refusal" : null })",
        R"({"role":"assistant","content":"","tool_calls":[],"function_call":null})",
        R"({"role":"assistant","content":"","reasoning_content":null})"}) {
    EXPECT_EQ(OpenAi(Chunk(delta)), kPreamble) << delta;
  }
}

TEST(StreamGrammar, EverythingElseInADeltaIsContent) {
  for (
      const std::string_view delta :
      {R"({"content":"x"})", R"({"role":"assistant","content":"x"})",
       R"({"role":"assistant","content":" "})", R"({"content":""})", R"({})",
       R"({"role":"assistant","reasoning_content":"think"})",
       R"({"role":"assistant","content":null,"reasoning":"think"})",
       R"({"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]})",
       R"({"role":"assistant","refusal":"no"})", R"({"role":null,"content":""})"}) {
    EXPECT_EQ(OpenAi(Chunk(delta)), kContent) << delta;
  }
  EXPECT_EQ(OpenAi(Chunk(R"({"role":"assistant","content":""})", R"("stop")")), kContent);
}

TEST(StreamGrammar, AChunkIsRoleOnlyWhenAllItsChoicesAre) {
  const std::string role = R"({"index":0,"delta":{"role":"assistant","content":""}})";
  const std::string word = R"({"index":1,"delta":{"role":"assistant","content":"x"}})";
  EXPECT_EQ(OpenAi(R"({"choices":[)" + role + "," + role + "]}"), kPreamble);
  EXPECT_EQ(OpenAi(R"({"choices":[)" + role + "," + word + "]}"), kContent);
  EXPECT_EQ(OpenAi(R"({"choices":[],"role":"assistant"})"), kContent);
  EXPECT_EQ(OpenAi(R"({"choices":[7],"role":"assistant"})"), kContent);
}

TEST(StreamGrammar, FinishAndUsageChunksAreContent) {
  EXPECT_EQ(OpenAi(Chunk("{}", R"("stop")")), kContent);
  EXPECT_EQ(OpenAi(R"({"choices":[],"usage":{"total_tokens":1}})"), kContent);
}

// Words that a model produced are not structure, whatever they are and wherever they stand.
TEST(StreamGrammar, TextOfTheModelIsNeverTakenForStructure) {
  for (const std::string_view text :
       {R"(error)", R"(\"error\")", R"({\"error\":{\"type\":\"overloaded_error\"}})", R"([DONE])",
        R"(data: [DONE]\n\n)", R"(\n\nevent: error\ndata: {}\n\n)", R"(role)",
        R"(\"role\":\"assistant\")", R"(\\\"error\\\":1)", R"(\\)", R"(message_stop)",
        R"(\"type\":\"message_stop\")", R"(response.completed)", R"(}],\"error\":{)"}) {
    const std::string delta = R"({"content":")" + std::string(text) + R"("})";
    EXPECT_EQ(OpenAi(Chunk(delta)), kContent) << text;
    const std::string with_role =
        R"({"role":"assistant","content":")" + std::string(text) + R"("})";
    EXPECT_EQ(OpenAi(Chunk(with_role)), kContent) << text;
    const std::string completion =
        R"({"choices":[{"text":")" + std::string(text) + R"(","index":0}]})";
    EXPECT_EQ(OpenAi(completion), kContent) << text;
    const std::string block =
        R"({"type":"content_block_delta","delta":{"type":"text_delta","text":")" +
        std::string(text) + R"("}})";
    EXPECT_EQ(Anthropic(block), kContent) << text;
    EXPECT_EQ(Anthropic(block, "content_block_delta"), kContent) << text;
    const std::string response =
        R"({"type":"response.output_text.delta","delta":")" + std::string(text) + R"("})";
    EXPECT_EQ(OpenAi(response), kContent) << text;
    EXPECT_EQ(OpenAi(response, "response.output_text.delta"), kContent) << text;
  }
}

TEST(StreamGrammar, NestedErrorsThatAreNotTheStreamsAreContent) {
  EXPECT_EQ(OpenAi(R"({"choices":[{"delta":{"content":"x","error":{"code":500}}}]})"), kContent);
  EXPECT_EQ(OpenAi(R"({"error":null,"choices":[{"delta":{"content":"x"}}]})"), kContent);
  EXPECT_EQ(OpenAi(R"({"error":"","choices":[{"delta":{"content":"x"}}]})"), kContent);
  EXPECT_EQ(OpenAi(R"({"error":{},"choices":[{"delta":{"content":"x"}}]})"), kContent);
}

TEST(StreamGrammar, TheTerminalIsExactlyTheMarker) {
  EXPECT_EQ(OpenAi("[DONE]"), kTerminal);
  EXPECT_EQ(OpenAi(" [DONE] "), kTerminal);
  EXPECT_EQ(OpenAi("[DONE]x"), kContent);
  EXPECT_EQ(OpenAi("\"[DONE]\""), kContent);
  EXPECT_EQ(Meaning(StreamGrammar::kGeneric, "[DONE]").kind, kTerminal);
  EXPECT_EQ(Anthropic("[DONE]"), kContent);
}

TEST(StreamGrammar, TypesCountWithoutAnEventField) {
  EXPECT_EQ(OpenAi(R"({"type":"response.created","response":{}})"), kPreamble);
  EXPECT_EQ(OpenAi(R"({"sequence_number":1,"type":"response.in_progress"})"), kPreamble);
  EXPECT_EQ(OpenAi(R"({"type":"response.incomplete"})"), kTerminal);
  EXPECT_EQ(OpenAi(R"({"type":"response.queued"})"), kContent);  // not on the closed list
  EXPECT_EQ(Anthropic(R"({"type":"message_start"})"), kPreamble);
  EXPECT_EQ(Anthropic(R"({"index":0,"type":"message_stop"})"), kTerminal);
}

TEST(StreamGrammar, WhatCannotBeUnderstoodIsContent) {
  for (const std::string_view data :
       {"", "hello", "{", R"({"error":)", R"({"type":)", R"({"choices":[{"delta":{"role":"assis)",
        R"({"type":7})", R"(["error"])", "\"error\"", "null"}) {
    EXPECT_EQ(OpenAi(data), kContent) << data;
    EXPECT_EQ(Anthropic(data), kContent) << data;
    EXPECT_EQ(Meaning(StreamGrammar::kGeneric, data).kind, kContent) << data;
  }
  EXPECT_EQ(Meaning(StreamGrammar::kGeneric, R"({"error":{"code":500}})").kind, kContent);
}

struct ErrorCase {
  StreamGrammar grammar;
  std::string_view type;
  std::string_view data;
  StreamErrorClass expected;
};

TEST(StreamGrammar, ErrorsAreMappedByTheirFields) {
  using enum StreamErrorClass;
  constexpr StreamGrammar kOpen = StreamGrammar::kOpenAi;
  constexpr StreamGrammar kAnthropicMessages = StreamGrammar::kAnthropic;
  constexpr StreamGrammar kAny = StreamGrammar::kGeneric;
  const ErrorCase cases[] = {
      {kOpen, "", R"({"error":{"message":"m","type":"server_error","code":null}})", kServer},
      {kOpen, "", R"({"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}})",
       kRateLimit},
      {kOpen, "", R"({"error":{"message":"m","type":"insufficient_quota"}})", kRateLimit},
      {kOpen, "", R"({"error":{"message":"m","type":"requests","code":429}})", kRateLimit},
      {kOpen, "", R"({"error":{"message":"m","type":"service_unavailable"}})", kOverloaded},
      {kOpen, "", R"({"error":{"message":"m","code":503}})", kOverloaded},
      {kOpen, "", R"({"error":{"message":"m","code":502},"choices":[{"finish_reason":"error"}]})",
       kServer},
      {kOpen, "", R"({"choices":[{"delta":{"role":"assistant"}}],"error":{"code":529}})",
       kOverloaded},
      {kOpen, "", R"({"error":{"message":"m","type":"invalid_request_error"}})", kInvalidRequest},
      {kOpen, "", R"({"error":{"object":"error","type":"BadRequestError","code":400}})",
       kInvalidRequest},
      {kOpen, "", R"({"object":"error","message":"m","type":"BadRequestError","code":400})",
       kInvalidRequest},
      {kOpen, "", R"({"object":"error","message":"m","type":"InternalServerError"})", kServer},
      {kOpen, "", R"({"error":"CUDA out of memory"})", kServer},
      {kOpen, "", R"({"type":"error","code":"rate_limit_exceeded","message":"m"})", kRateLimit},
      {kOpen, "error", R"({"type":"error","error":{"code":"server_error"}})", kServer},
      {kOpen, "error", "not json", kServer},
      {kOpen, "error", R"({"message":"the word overloaded in a message is no class"})", kServer},
      {kOpen, "response.failed",
       R"({"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded"}}})",
       kRateLimit},
      {kOpen, "", R"({"type":"response.failed","response":{"error":{"code":"server_error"}}})",
       kServer},
      {kAnthropicMessages, "error",
       R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
       kOverloaded},
      {kAnthropicMessages, "error",
       R"({"type":"error","error":{"type":"rate_limit_error","message":"m"}})", kRateLimit},
      {kAnthropicMessages, "", R"({"type":"error","error":{"type":"api_error","message":"m"}})",
       kServer},
      {kAnthropicMessages, "error",
       R"({"type":"error","error":{"type":"not_found_error","message":"m"}})", kInvalidRequest},
      {kAny, "error", "boom", kServer},
      {kAny, "error", R"({"type":"urn:outrigger:problem/ttft-timeout","status":504})", kServer},
      {kAny, "error", R"({"type":"x/quota-exceeded","status":429})", kRateLimit},
      {kAny, "error", R"({"status":"UNAVAILABLE"})", kOverloaded},
  };
  for (const ErrorCase& c : cases) {
    const EventMeaning meaning = Meaning(c.grammar, c.data, c.type);
    EXPECT_EQ(meaning.kind, kError) << c.data;
    EXPECT_EQ(meaning.error, c.expected) << c.data;
  }
}

TEST(StreamGrammar, ErrorsBecomeTheStatusOfTheirApi) {
  using enum StreamErrorClass;
  EXPECT_EQ(StatusOfStreamError(StreamGrammar::kAnthropic, kOverloaded), 529);
  EXPECT_EQ(StatusOfStreamError(StreamGrammar::kOpenAi, kOverloaded), 503);
  EXPECT_EQ(StatusOfStreamError(StreamGrammar::kOpenAi, kRateLimit), 429);
  EXPECT_EQ(StatusOfStreamError(StreamGrammar::kOpenAi, kServer), 502);
  EXPECT_EQ(StatusOfStreamError(StreamGrammar::kGeneric, kInvalidRequest), 400);
}

}  // namespace
}  // namespace outrigger::common
