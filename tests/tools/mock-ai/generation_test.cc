// The grammars of the OpenAI and Anthropic answers, without a socket.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tools/mock-ai/anthropic.h"
#include "tools/mock-ai/openai.h"

namespace outrigger::mock_ai {
namespace {

constexpr TokenOptions kTokens{
    .ttft = absl::Milliseconds(20), .itl = absl::Milliseconds(5), .jitter = 0, .tokens = 4};

struct Call {
  explicit Call(std::string text) : raw(std::move(text)), body(ParseJson(raw)) {}
  ModelCall operator()() const {
    return {.body = body, .raw_body = raw, .tokens = kTokens, .seed = 1, .id = "k", .execution = 3};
  }
  std::string raw;
  Json body;
};

// The JSON after "data: " of one event.
Json Data(const Step& step) {
  const size_t start = step.data.find("data: ") + 6;
  EXPECT_EQ(step.data.substr(step.data.size() - 2), "\n\n");
  return ParseJson(std::string_view(step.data).substr(start));
}

std::vector<StepKind> Kinds(const Answer& answer) {
  std::vector<StepKind> kinds;
  for (const Step& step : answer.steps) kinds.push_back(step.kind);
  return kinds;
}

TEST(ChatCompletion, UnaryComesWhenAllTokensAreThere) {
  const Call call(R"({"model":"m","messages":[1]})");
  const Answer answer = ChatCompletion(call());
  EXPECT_EQ(answer.head_delay, absl::Milliseconds(35));
  const Json json = ParseJson(answer.steps.at(0).data);
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json["choices"][0]["message"]["content"].get<std::string>().substr(0, 17),
            "Execution 3 of k:");
  EXPECT_EQ(json["usage"]["completion_tokens"], 4);
}

TEST(ChatCompletion, StreamHasTheGrammarOfItsChunks) {
  using enum StepKind;
  const Call call(R"({"stream":true,"messages":[1]})");
  const Answer answer = ChatCompletion(call());
  ASSERT_EQ(Kinds(answer), (std::vector<StepKind>{kPreamble, kContent, kContent, kContent, kContent,
                                                  kFinish, kTerminal}));
  EXPECT_TRUE(answer.is_event_stream);
  EXPECT_EQ(answer.head_delay, absl::ZeroDuration());
  const Json role = Data(answer.steps[0]);
  EXPECT_EQ(role["object"], "chat.completion.chunk");
  EXPECT_EQ(role["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(role["choices"][0]["delta"]["content"], "");
  EXPECT_FALSE(role.contains("usage"));
  std::string text;
  for (size_t i = 1; i <= 4; ++i) {
    const Json chunk = Data(answer.steps[i]);
    EXPECT_EQ(chunk["id"], role["id"]);
    EXPECT_TRUE(chunk["choices"][0]["finish_reason"].is_null());
    text += chunk["choices"][0]["delta"]["content"].get<std::string>();
    EXPECT_EQ(answer.steps[i].delay, i == 1 ? kTokens.ttft : kTokens.itl);
  }
  EXPECT_EQ(text, Generate(kTokens, {1, "k", 3, call.raw}, 0).text());
  const Json finish = Data(answer.steps[5]);
  EXPECT_EQ(finish["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(finish["choices"][0]["delta"].empty());
  EXPECT_EQ(answer.steps[6].data, "data: [DONE]\n\n");
}

TEST(ChatCompletion, StreamSendsUsageWhenAsked) {
  const Call call(
      R"({"stream":true,"stream_options":{"include_usage":true},"messages":[1],"max_tokens":2})");
  const Answer answer = ChatCompletion(call());
  ASSERT_EQ(answer.steps.size(), 6U);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(Data(answer.steps[i])["usage"].is_null());
  EXPECT_EQ(Data(answer.steps[3])["choices"][0]["finish_reason"], "length");
  const Json usage = Data(answer.steps[4]);
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 2);
}

TEST(Completion, KeepsTheTextInTheChoice) {
  const Call unary(R"({"prompt":"x"})");
  const Json json = ParseJson(Completion(unary()).steps.at(0).data);
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"][0]["text"].get<std::string>().substr(0, 9), "Execution");
  const Call streamed(R"({"prompt":"x","stream":true})");
  const Answer answer = Completion(streamed());
  ASSERT_EQ(answer.steps.size(), 6U);
  EXPECT_EQ(Data(answer.steps[0])["choices"][0]["text"], "Execution 3 of k:");
  EXPECT_EQ(Data(answer.steps[4])["choices"][0]["finish_reason"], "stop");
}

TEST(Embeddings, GivesOneVectorForEachInput) {
  const auto count = [](const std::string& input) {
    const Call call(R"({"input":)" + input + "}");
    return ParseJson(Embeddings(call()).steps.at(0).data)["data"].size();
  };
  EXPECT_EQ(count(R"("one")"), 1U);
  EXPECT_EQ(count(R"(["one","two"])"), 2U);
  EXPECT_EQ(count("[1,2,3]"), 1U);
  EXPECT_EQ(count("[[1],[2],[3]]"), 3U);
}

TEST(Embeddings, TheVectorDependsOnTheInputAlone) {
  const Call one(R"({"input":"same","dimensions":5})");
  const Call two(R"({"input":["other","same"],"dimensions":5})");
  const Json a = ParseJson(Embeddings(one()).steps.at(0).data);
  const Json b = ParseJson(Embeddings(two()).steps.at(0).data);
  EXPECT_EQ(a["data"][0]["embedding"].size(), 5U);
  EXPECT_EQ(a["data"][0]["embedding"], b["data"][1]["embedding"]);
  EXPECT_NE(a["data"][0]["embedding"], b["data"][0]["embedding"]);
}

TEST(Embeddings, Base64HasFourBytesForEachNumber) {
  for (int dimensions = 1; dimensions < 8; ++dimensions) {
    const Call call(R"({"input":"x","encoding_format":"base64","dimensions":)" +
                    std::to_string(dimensions) + "}");
    const std::string text =
        ParseJson(Embeddings(call()).steps.at(0).data)["data"][0]["embedding"].get<std::string>();
    ASSERT_EQ(text.size() % 4, 0U);
    const size_t padding = text.size() - text.find_last_not_of('=') - 1;
    EXPECT_EQ(text.size() / 4 * 3 - padding, static_cast<size_t>(dimensions) * 4) << text;
  }
}

TEST(Messages, StreamHasTheGrammarOfItsEvents) {
  const Call call(R"({"stream":true,"messages":[1],"max_tokens":2})");
  const Answer answer = Messages(call());
  std::vector<std::string> types;
  for (const Step& step : answer.steps) {
    types.push_back(Data(step)["type"]);
    EXPECT_EQ(step.data.substr(0, step.data.find('\n')), "event: " + types.back());
  }
  EXPECT_EQ(types,
            (std::vector<std::string>{"message_start", "content_block_start", "ping",
                                      "content_block_delta", "content_block_delta",
                                      "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_EQ(Data(answer.steps[3])["delta"]["text"], "Execution 3 of k:");
  EXPECT_EQ(Data(answer.steps[6])["delta"]["stop_reason"], "max_tokens");
  EXPECT_EQ(Data(answer.steps[6])["usage"]["output_tokens"], 2);
}

TEST(Messages, UnaryHasOneTextBlock) {
  const Call call(R"({"messages":[1],"max_tokens":100})");
  const Json json = ParseJson(Messages(call()).steps.at(0).data);
  EXPECT_EQ(json["type"], "message");
  EXPECT_EQ(json["content"][0]["type"], "text");
  EXPECT_EQ(json["stop_reason"], "end_turn");
}

TEST(RequestBodies, AreRefusedWhenTheyAreWrong) {
  for (const std::string_view bad : {"", "{", "[]", "3", "{}", R"({"messages":[]})",
                                     R"({"messages":"x"})", R"({"dimensions":0,"input":"x"})"}) {
    const Json body = ParseJson(bad);
    EXPECT_NE(ChatProblem(body), "") << bad;
    EXPECT_NE(MessagesProblem(body), "") << bad;
    EXPECT_NE(CompletionProblem(body), "") << bad;
    EXPECT_NE(EmbeddingsProblem(body), "") << bad;
  }
  EXPECT_NE(MessagesProblem(ParseJson(R"({"messages":[1]})")), "");
  EXPECT_EQ(MessagesProblem(ParseJson(R"({"messages":[1],"max_tokens":1})")), "");
  EXPECT_EQ(ChatProblem(ParseJson(R"({"messages":[1]})")), "");
}

}  // namespace
}  // namespace outrigger::mock_ai
