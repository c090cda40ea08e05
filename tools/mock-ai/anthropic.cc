#include "tools/mock-ai/anthropic.h"

#include <utility>

#include "fmt/format.h"

namespace outrigger::mock_ai {
namespace {

std::string Event(std::string_view type, const Json& fields) {
  Json json = {{"type", type}};
  json.update(fields);
  return fmt::format("event: {}\ndata: {}\n\n", type, Dump(json));
}

std::string_view StopReason(const Generation& generation) {
  return generation.hit_limit ? "max_tokens" : "end_turn";
}

Json Message(const ModelCall& call, const Generation& generation) {
  return {{"id", fmt::format("msg_{}", generation.name)},
          {"type", "message"},
          {"role", "assistant"},
          {"model", StringField(call.body, "model", "mock-1")},
          {"content", Json::array()},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr},
          {"usage", {{"input_tokens", PromptTokens(call.raw_body.size())}, {"output_tokens", 1}}}};
}

Answer Unary(const ModelCall& call, const Generation& generation) {
  Json json = Message(call, generation);
  json["content"].push_back({{"type", "text"}, {"text", generation.text()}});
  json["stop_reason"] = StopReason(generation);
  json["usage"]["output_tokens"] = generation.tokens.size();
  Answer answer = MakeAnswer(200, "application/json", Dump(json));
  answer.dialect = Dialect::kAnthropic;
  answer.head_delay = generation.total_time();
  return answer;
}

Answer Stream(const ModelCall& call, const Generation& generation) {
  Answer answer = MakeEventStream(Dialect::kAnthropic);
  std::vector<Step>& steps = answer.steps;
  steps.reserve(generation.tokens.size() + 6);
  steps.push_back(MakeStep(StepKind::kPreamble,
                           Event("message_start", {{"message", Message(call, generation)}})));
  steps.push_back(
      MakeStep(StepKind::kPreamble,
               Event("content_block_start",
                     {{"index", 0}, {"content_block", {{"type", "text"}, {"text", ""}}}})));
  steps.push_back(MakeStep(StepKind::kPing, Event("ping", Json::object())));
  for (const Token& token : generation.tokens) {
    steps.push_back(
        MakeStep(StepKind::kContent,
                 Event("content_block_delta",
                       {{"index", 0}, {"delta", {{"type", "text_delta"}, {"text", token.text}}}}),
                 token.delay));
  }
  steps.push_back(MakeStep(StepKind::kFinish, Event("content_block_stop", {{"index", 0}})));
  steps.push_back(MakeStep(
      StepKind::kFinish,
      Event("message_delta",
            {{"delta", {{"stop_reason", StopReason(generation)}, {"stop_sequence", nullptr}}},
             {"usage", {{"output_tokens", generation.tokens.size()}}}})));
  steps.push_back(MakeStep(StepKind::kTerminal, Event("message_stop", Json::object())));
  return answer;
}

}  // namespace

std::string MessagesProblem(const Json& body) {
  if (std::string problem = ChatProblem(body); !problem.empty()) return problem;
  return IntField(body, "max_tokens", 0) < 1 ? "max_tokens has to be at least 1" : "";
}

Answer Messages(const ModelCall& call) {
  const Generation generation =
      Generate(call.tokens, {call.seed, call.id, call.execution, call.raw_body},
               IntField(call.body, "max_tokens", 0));
  return BoolField(call.body, "stream", false) ? Stream(call, generation) : Unary(call, generation);
}

}  // namespace outrigger::mock_ai
