// The OpenAI grammar: chat completions, completions, embeddings and models.
//
//   if (std::string problem = ChatProblem(body); !problem.empty()) -> 400
//   Answer answer = ChatCompletion(call);
//
// A unary answer's head comes when all tokens are there; a stream's head and role-only delta come
// at once, then each token in its time.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/mock-ai/answer.h"
#include "tools/mock-ai/json_fields.h"
#include "tools/mock-ai/tokens.h"

namespace outrigger::mock_ai {

// One execution of a request to a model. References live as long as the call.
struct ModelCall {
  const Json& body;
  std::string_view raw_body;
  TokenOptions tokens;
  uint64_t seed = 0;
  std::string_view id;
  uint64_t execution = 0;
  int64_t embedding_dimensions = 16;
};

// What is wrong with a request body, in words; empty when nothing is.
std::string ChatProblem(const Json& body);
std::string CompletionProblem(const Json& body);
std::string EmbeddingsProblem(const Json& body);

Answer ChatCompletion(const ModelCall& call);
Answer Completion(const ModelCall& call);
Answer Embeddings(const ModelCall& call);
Answer Models(const std::vector<std::string>& models);

// An event stream without steps.
Answer MakeEventStream(Dialect dialect);
Step MakeStep(StepKind kind, std::string data, absl::Duration delay = absl::ZeroDuration());

}  // namespace outrigger::mock_ai
