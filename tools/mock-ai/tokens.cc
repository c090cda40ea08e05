#include "tools/mock-ai/tokens.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fmt/format.h"
#include "proxy/base/random.h"

namespace outrigger::mock_ai {
namespace {

constexpr std::string_view kWords[] = {
    "boat",   "calm",  "deep",   "drift", "east", "float", "foam",  "gull",  "harbour", "hull",
    "island", "keel",  "lagoon", "light", "mast", "moon",  "north", "oar",   "paddle",  "pier",
    "quiet",  "reef",  "river",  "rope",  "sail", "salt",  "shore", "south", "spray",   "star",
    "stern",  "storm", "swell",  "tide",  "wake", "water", "wave",  "west",  "wind",    "wing"};

constexpr std::string_view kMarks[] = {"", "", "", "", "", "", ",", "."};

// Both arguments of the mix matter in all bits (the finaliser of SplitMix64).
uint64_t Mix(uint64_t state, uint64_t value) {
  uint64_t z = (state ^ value) + 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// Lognormal with the given mean. By Box-Muller, because the standard library's distributions
// differ between implementations.
absl::Duration Draw(absl::Duration mean, double jitter, Random& random) {
  if (jitter <= 0) return mean;
  const double radius = std::sqrt(-2 * std::log(1 - random.Uniform()));
  const double normal = radius * std::cos(2 * std::numbers::pi * random.Uniform());
  return mean * std::exp(jitter * normal - jitter * jitter / 2);
}

}  // namespace

uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

int64_t PromptTokens(uint64_t prompt_bytes) {
  return std::max<int64_t>(1, static_cast<int64_t>(prompt_bytes / 4));
}

absl::Duration Generation::total_time() const {
  absl::Duration total;
  for (const Token& token : tokens) total += token.delay;
  return total;
}

std::string Generation::text() const {
  std::string all;
  for (const Token& token : tokens) all += token.text;
  return all;
}

Generation Generate(const TokenOptions& options, const GenerationKey& key, int64_t max_tokens) {
  const uint64_t id_hash = Mix(key.seed, StableHash(key.id));
  Random random(Mix(Mix(id_hash, StableHash(key.body)), key.execution));
  Generation generation;
  generation.name = fmt::format("{:016x}-{}", id_hash, key.execution);
  generation.hit_limit = max_tokens > 0 && max_tokens < options.tokens;
  const int64_t count = generation.hit_limit ? max_tokens : options.tokens;
  generation.tokens.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    Token token;
    token.delay = Draw(i == 0 ? options.ttft : options.itl, options.jitter, random);
    if (i == 0) {
      token.text = fmt::format("Execution {} of {}:", key.execution, key.id);
    } else {
      token.text = fmt::format(" {}{}", kWords[random.Below(std::size(kWords))],
                               kMarks[random.Below(std::size(kMarks))]);
    }
    generation.tokens.push_back(std::move(token));
  }
  return generation;
}

}  // namespace outrigger::mock_ai
