// What the mock model "generates": words and the times at which they come, from a seed.
//
//   Generation generation = Generate(options, {seed, id, execution, request_body}, max_tokens);
//
// The same arguments give the same words and times on every machine. The first token names the
// execution, so that two executions of one request never give the same bytes.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace outrigger::mock_ai {

struct TokenOptions {
  absl::Duration ttft = absl::Milliseconds(20);  // mean time to the first token
  absl::Duration itl = absl::Milliseconds(5);    // mean time between two tokens
  // Spread of the lognormal distribution of both; 0 makes them exact. The mean stays.
  double jitter = 0.25;
  int64_t tokens = 32;
};

struct GenerationKey {
  uint64_t seed = 0;
  std::string_view id;
  uint64_t execution = 0;
  std::string_view body;
};

struct Token {
  absl::Duration delay;  // after the token before, or after the start
  std::string text;
};

struct Generation {
  std::string name;  // part of the answer's id; differs between executions
  std::vector<Token> tokens;
  bool hit_limit = false;  // max_tokens ended it

  absl::Duration total_time() const;
  std::string text() const;
};

// `max_tokens` of the request; 0: not given.
Generation Generate(const TokenOptions& options, const GenerationKey& key, int64_t max_tokens);

// A stable 64-bit hash (FNV-1a), the same on every machine.
uint64_t StableHash(std::string_view text);

// How many tokens a prompt is said to have: a quarter of its bytes, at least one.
int64_t PromptTokens(uint64_t prompt_bytes);

}  // namespace outrigger::mock_ai
