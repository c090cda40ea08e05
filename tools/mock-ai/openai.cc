#include "tools/mock-ai/openai.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "fmt/format.h"
#include "proxy/base/random.h"

namespace outrigger::mock_ai {
namespace {

// Answers are functions of the request, so the date in them is not the time of day.
constexpr int64_t kCreated = 1'700'000'000;

std::string ModelName(const Json& body) { return StringField(body, "model", "mock-1"); }

int64_t MaxTokens(const Json& body) {
  return IntField(body, "max_completion_tokens", IntField(body, "max_tokens", 0));
}

Json Usage(const ModelCall& call, int64_t completion_tokens) {
  const int64_t prompt_tokens = PromptTokens(call.raw_body.size());
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens}};
}

// The two flavours of text generation differ in names and in where a choice keeps its text.
struct Flavour {
  std::string_view id_prefix;
  std::string_view object;
  std::string_view chunk_object;
  bool is_chat;
};

constexpr Flavour kChat{"chatcmpl", "chat.completion", "chat.completion.chunk", true};
constexpr Flavour kText{"cmpl", "text_completion", "text_completion", false};

Json Head(const Flavour& flavour, const ModelCall& call, const Generation& generation,
          bool is_chunk) {
  return {{"id", fmt::format("{}-{}", flavour.id_prefix, generation.name)},
          {"object", is_chunk ? flavour.chunk_object : flavour.object},
          {"created", kCreated},
          {"model", ModelName(call.body)}};
}

Answer Unary(const Flavour& flavour, const ModelCall& call, const Generation& generation) {
  Json json = Head(flavour, call, generation, false);
  Json choice = {{"index", 0}};
  if (flavour.is_chat) {
    choice["message"] = {{"role", "assistant"}, {"content", generation.text()}};
  } else {
    choice["text"] = generation.text();
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = generation.hit_limit ? "length" : "stop";
  json["choices"] = Json::array({std::move(choice)});
  json["usage"] = Usage(call, static_cast<int64_t>(generation.tokens.size()));
  Answer answer = MakeAnswer(200, "application/json", Dump(json));
  answer.head_delay = generation.total_time();
  return answer;
}

// Writes chunks around text that was turned into JSON once, because streams are long.
class ChunkWriter {
 public:
  ChunkWriter(const Flavour& flavour, std::string head, bool has_usage)
      : is_chat_(flavour.is_chat),
        head_(std::move(head)),
        tail_(has_usage ? R"(],"usage":null})" : "]}") {
    head_.pop_back();  // the closing brace
  }

  std::string Role() const {
    return Choice(R"({"index":0,"delta":{"role":"assistant","content":""},)", "null");
  }
  std::string Content(std::string_view text) const {
    const std::string quoted = Dump(Json(text));
    const std::string choice = is_chat_
                                   ? fmt::format(R"({{"index":0,"delta":{{"content":{}}},)", quoted)
                                   : fmt::format(R"({{"index":0,"text":{},)", quoted);
    return Choice(choice, "null");
  }
  std::string Finish(std::string_view reason) const {
    return Choice(is_chat_ ? R"({"index":0,"delta":{},)" : R"({"index":0,"text":"",)",
                  fmt::format("\"{}\"", reason));
  }
  std::string UsageOnly(const Json& usage) const {
    return fmt::format("data: {},\"choices\":[],\"usage\":{}}}\n\n", head_, Dump(usage));
  }

 private:
  std::string Choice(std::string_view choice, std::string_view finish_reason) const {
    return fmt::format("data: {},\"choices\":[{}\"logprobs\":null,\"finish_reason\":{}}}{}\n\n",
                       head_, choice, finish_reason, tail_);
  }

  bool is_chat_;
  std::string head_;
  std::string tail_;
};

Answer Stream(const Flavour& flavour, const ModelCall& call, const Generation& generation) {
  const Json* options = Field(call.body, "stream_options");
  const bool has_usage = options != nullptr && BoolField(*options, "include_usage", false);
  const ChunkWriter writer(flavour, Dump(Head(flavour, call, generation, true)), has_usage);
  Answer answer = MakeEventStream(Dialect::kOpenAi);
  std::vector<Step>& steps = answer.steps;
  steps.reserve(generation.tokens.size() + 4);
  if (flavour.is_chat) steps.push_back(MakeStep(StepKind::kPreamble, writer.Role()));
  for (const Token& token : generation.tokens) {
    steps.push_back(MakeStep(StepKind::kContent, writer.Content(token.text), token.delay));
  }
  steps.push_back(
      MakeStep(StepKind::kFinish, writer.Finish(generation.hit_limit ? "length" : "stop")));
  if (has_usage) {
    const Json usage = Usage(call, static_cast<int64_t>(generation.tokens.size()));
    steps.push_back(MakeStep(StepKind::kFinish, writer.UsageOnly(usage)));
  }
  steps.push_back(MakeStep(StepKind::kTerminal, "data: [DONE]\n\n"));
  return answer;
}

Answer Generated(const Flavour& flavour, const ModelCall& call) {
  const Generation generation = Generate(
      call.tokens, {call.seed, call.id, call.execution, call.raw_body}, MaxTokens(call.body));
  return BoolField(call.body, "stream", false) ? Stream(flavour, call, generation)
                                               : Unary(flavour, call, generation);
}

std::vector<float> Vector(uint64_t seed, int64_t dimensions) {
  Random random(seed);
  std::vector<float> vector(dimensions);
  for (float& value : vector) value = static_cast<float>(random.Uniform(-1, 1));
  return vector;
}

std::string Base64(const std::vector<float>& vector) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (const float value : vector) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += i + j > bytes.size() ? '=' : kAlphabet[group >> (18 - 6 * j) & 63];
    }
  }
  return text;
}

// A string or a list of token numbers is one input, any other list is one input per element.
std::vector<std::string> Inputs(const Json& body) {
  const Json* input = Field(body, "input");
  if (input == nullptr) return {};
  const bool is_single = !input->is_array() || (!input->empty() && input->front().is_number());
  if (is_single) return {Dump(*input)};
  std::vector<std::string> inputs;
  for (const Json& element : *input) inputs.push_back(Dump(element));
  return inputs;
}

}  // namespace

Step MakeStep(StepKind kind, std::string data, absl::Duration delay) {
  Step step;
  step.delay = delay;
  step.kind = kind;
  step.data = std::move(data);
  return step;
}

Answer MakeEventStream(Dialect dialect) {
  Answer answer;
  answer.dialect = dialect;
  answer.is_event_stream = true;
  answer.framing = Framing::kChunked;
  answer.headers.push_back({"content-type", "text/event-stream; charset=utf-8"});
  answer.headers.push_back({"cache-control", "no-cache"});
  return answer;
}

std::string ChatProblem(const Json& body) {
  if (!body.is_object()) return "the request body is not a JSON object";
  const Json* messages = Field(body, "messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return "messages has to be a list that is not empty";
  }
  return "";
}

std::string CompletionProblem(const Json& body) {
  if (!body.is_object()) return "the request body is not a JSON object";
  return Field(body, "prompt") == nullptr ? "prompt is missing" : "";
}

std::string EmbeddingsProblem(const Json& body) {
  if (!body.is_object()) return "the request body is not a JSON object";
  if (Inputs(body).empty()) return "input is missing or empty";
  const int64_t dimensions = IntField(body, "dimensions", 1);
  return dimensions < 1 || dimensions > 65536 ? "dimensions has to be from 1 to 65536" : "";
}

Answer ChatCompletion(const ModelCall& call) { return Generated(kChat, call); }

Answer Completion(const ModelCall& call) { return Generated(kText, call); }

Answer Embeddings(const ModelCall& call) {
  TokenOptions options = call.tokens;
  options.tokens = 1;
  const Generation generation =
      Generate(options, {call.seed, call.id, call.execution, call.raw_body}, 0);
  const std::string model = ModelName(call.body);
  const int64_t dimensions = IntField(call.body, "dimensions", call.embedding_dimensions);
  const bool is_base64 = StringField(call.body, "encoding_format", "float") == "base64";
  Json data = Json::array();
  for (const std::string& input : Inputs(call.body)) {
    const std::vector<float> vector =
        Vector(call.seed ^ StableHash(fmt::format("{}\n{}", model, input)), dimensions);
    data.push_back({{"object", "embedding"},
                    {"index", data.size()},
                    {"embedding", is_base64 ? Json(Base64(vector)) : Json(vector)}});
  }
  const int64_t tokens = PromptTokens(call.raw_body.size());
  const Json json = {{"id", fmt::format("embd-{}", generation.name)},
                     {"object", "list"},
                     {"data", std::move(data)},
                     {"model", model},
                     {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
  Answer answer = MakeAnswer(200, "application/json", Dump(json));
  answer.head_delay = generation.total_time();
  return answer;
}

Answer Models(const std::vector<std::string>& models) {
  Json data = Json::array();
  for (const std::string& model : models) {
    data.push_back(
        {{"id", model}, {"object", "model"}, {"created", kCreated}, {"owned_by", "mock-ai"}});
  }
  return MakeAnswer(200, "application/json", Dump({{"object", "list"}, {"data", data}}));
}

}  // namespace outrigger::mock_ai
