// The tables of docs/hostile-input.md and docs/protocols.md name the tests that prove what they
// say: those exist.
//
// A name in backticks is `test_x` of a module in tests/integration, or `Suite.Name` of a test in
// C++.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <string_view>

namespace outrigger {
namespace {

const std::filesystem::path kRoot = OUTRIGGER_SOURCE_DIR;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The matches of `pattern`, their groups joined by a dot.
void AddMatches(const std::string& text, const std::regex& pattern, std::set<std::string>& names) {
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at) {
    std::string name = (*at)[1];
    if (at->size() > 2) name += "." + (*at)[2].str();
    names.insert(name);
  }
}

std::set<std::string> Tests() {
  const std::regex python("def (test_\\w+)\\(");
  const std::regex gtest("\\bTEST(?:_[FP])?\\((\\w+),\\s*(\\w+)\\)");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kRoot / "tests")) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() == ".py") AddMatches(ReadFile(path), python, names);
    if (path.extension() == ".cc") AddMatches(ReadFile(path), gtest, names);
  }
  return names;
}

TEST(Proofs, TestsThatTheTablesNameExist) {
  const std::set<std::string> tests = Tests();
  for (const std::string_view page : {"hostile-input.md", "protocols.md"}) {
    const std::string text = ReadFile(kRoot / "docs" / page);
    std::set<std::string> named;
    AddMatches(text, std::regex("`(test_\\w+)`"), named);
    AddMatches(text, std::regex("`([A-Z]\\w+)\\.([A-Z]\\w+)`"), named);
    EXPECT_GT(named.size(), 10U) << page;
    for (const std::string& name : named) EXPECT_TRUE(tests.contains(name)) << page << ": " << name;
  }
}

}  // namespace
}  // namespace outrigger
