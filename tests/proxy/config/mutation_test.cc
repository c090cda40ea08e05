// Broken files: never a crash, always a place (semantics B12, goal 2).

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/base/random.h"
#include "proxy/config/config.h"
#include "tests/proxy/config/schema_validator.h"

namespace outrigger::config {
namespace {

using ::testing::IsEmpty;

std::string Example() {
  std::ifstream file(std::string(OUTRIGGER_DOCS_DIR) + "/example.yaml", std::ios::binary);
  EXPECT_TRUE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}

// One of the small things that happen to files.
void Mutate(Random& random, std::string& text) {
  static const std::vector<std::string> kPieces = {":",
                                                   "- ",
                                                   "{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   "\"",
                                                   "'",
                                                   "\n",
                                                   "  ",
                                                   "\t",
                                                   "#",
                                                   "&a ",
                                                   "*a",
                                                   "<<: ",
                                                   "!!x ",
                                                   "---",
                                                   "null",
                                                   "on",
                                                   "-1",
                                                   "5",
                                                   "1e9",
                                                   "99999999999999999999",
                                                   "0s",
                                                   "1h1h",
                                                   "200%",
                                                   "|",
                                                   ">",
                                                   "? ",
                                                   "\xFF",
                                                   "%",
                                                   "@",
                                                   "`",
                                                   ",",
                                                   "~",
                                                   "x: y",
                                                   "none",
                                                   "auto",
                                                   "{}",
                                                   "[]",
                                                   "tls:",
                                                   "http2",
                                                   "tokens",
                                                   "false",
                                                   "0/s",
                                                   "/",
                                                   "..",
                                                   "\xC3\xA4"};
  if (text.empty()) return;
  const size_t at = random.Below(text.size());
  const size_t length = random.Below(20);
  switch (random.Below(5)) {
    case 0:
      text.erase(at, length);
      break;
    case 1:
      text.insert(at, kPieces[random.Below(kPieces.size())]);
      break;
    case 2:
      text.replace(at, length, kPieces[random.Below(kPieces.size())]);
      break;
    case 3:
      text.insert(at, text.substr(random.Below(text.size()), length * 5));
      break;
    default:
      text[at] = static_cast<char>(random.Below(256));
      break;
  }
}

TEST(MutatedConfig, IsReadOrRefusedWithAPlaceForEveryError) {
  constexpr uint64_t kSeed = 7919;
  constexpr int kFiles = 2000;
  const std::string example = Example();
  const nlohmann::ordered_json schema = JsonSchema();
  const Expected<Config, ConfigErrors> running = Parse(example, "running");
  ASSERT_TRUE(running.ok());
  Random random(kSeed);
  int refused = 0;
  for (int i = 0; i < kFiles; ++i) {
    std::string text = example;
    const uint64_t changes = 1 + random.Below(5);
    for (uint64_t change = 0; change < changes; ++change) Mutate(random, text);

    const Expected<Config, ConfigErrors> config =
        Parse(text, "f", i % 2 == 0 ? nullptr : &*running);
    if (config.ok()) {
      // What is accepted is complete and can be written down.
      const nlohmann::ordered_json dump = ToJson(*config);
      ASSERT_TRUE(Parse(dump.dump(), "dump").ok()) << "seed " << kSeed << ", file " << i;
      ASSERT_THAT(Violations(schema, dump), IsEmpty()) << "seed " << kSeed << ", file " << i;
      continue;
    }
    ++refused;
    ASSERT_FALSE(config.error().errors.empty());
    for (const ConfigError& error : config.error().errors) {
      ASSERT_GT(error.where.line, 0) << error.message << ", seed " << kSeed << ", file " << i;
      ASSERT_GT(error.where.column, 0) << error.message << ", seed " << kSeed << ", file " << i;
      ASSERT_FALSE(error.message.empty());
    }
  }
  EXPECT_GE(refused, 500) << "seed " << kSeed;
}

}  // namespace
}  // namespace outrigger::config
