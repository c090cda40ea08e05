// The Anthropic grammar: messages, unary and as an event stream.

#pragma once

#include <string>

#include "tools/mock-ai/answer.h"
#include "tools/mock-ai/openai.h"

namespace outrigger::mock_ai {

// What is wrong with a request body, in words; empty when nothing is.
std::string MessagesProblem(const Json& body);
Answer Messages(const ModelCall& call);

}  // namespace outrigger::mock_ai
