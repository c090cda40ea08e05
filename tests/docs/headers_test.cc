// docs/headers.md says what the program does: the table of reasons is the closed list of
// local_reply.cc, and the names of header fields are those in the source.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <string_view>

#include "filters/common/local_reply.h"
#include "proxy/http/reason.h"

namespace outrigger {
namespace {

using common::ReplyRule;
using common::ShouldRetry;

const std::filesystem::path kRoot = OUTRIGGER_SOURCE_DIR;
constexpr std::string_view kBegin = "<!-- reasons: written by tests/docs, see there -->\n";
constexpr std::string_view kEnd = "<!-- /reasons -->\n";

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string_view RepeatText(ShouldRetry should_retry) {
  switch (should_retry) {
    case ShouldRetry::kFalse:
      return "no";
    case ShouldRetry::kTrue:
      return "yes";
    case ShouldRetry::kIfRepeatable:
      return "if harmless";
    case ShouldRetry::kIfWithinMinute:
      return "if ≤ 60 s";
  }
  return {};
}

std::string ReasonsTable() {
  std::string table =
      "| Reason | Status | gRPC | Retry-After | Repeat? | Problem type | Meaning |\n"
      "|---|---|---|---|---|---|---|\n";
  for (int i = 1; i < static_cast<int>(http::Reason::kCount); ++i) {
    const ReplyRule& rule = common::RuleOf(static_cast<http::Reason>(i));
    const std::string wait =
        rule.default_retry_ms == 0 ? "" : fmt::format("{} s", rule.default_retry_ms / 1000.0);
    table +=
        fmt::format("| `{}` | {}{} | {} | {} | {} | `{}` | {} |\n", http::ReasonName(rule.reason),
                    rule.status, rule.closes_connection ? ", closes" : "", rule.grpc_code, wait,
                    RepeatText(rule.should_retry), rule.problem, rule.title);
  }
  return table;
}

// OUTRIGGER_WRITE_DOCS=1 writes the table instead of comparing it.
TEST(HeadersPage, HasTheTableOfReasons) {
  const std::filesystem::path path = kRoot / "docs" / "headers.md";
  const std::string page = ReadFile(path);
  const size_t begin = page.find(kBegin);
  const size_t end = page.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos && begin < end);
  const size_t table_at = begin + kBegin.size();
  if (std::getenv("OUTRIGGER_WRITE_DOCS") != nullptr) {
    std::ofstream file(path, std::ios::binary);
    ASSERT_TRUE(file << page.substr(0, table_at) << ReasonsTable() << page.substr(end)) << path;
    return;
  }
  EXPECT_EQ(page.substr(table_at, end - table_at), ReasonsTable())
      << "run this test with OUTRIGGER_WRITE_DOCS=1 to write the table anew";
}

std::set<std::string> Matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), pattern);
       at != std::sregex_iterator(); ++at) {
    found.insert((*at)[1]);
  }
  return found;
}

// The names of this kind that the source has as literals; not prefixes, which end with a dash.
std::set<std::string> NamesInSource() {
  const std::regex literal("\"(x-[a-z-]*[a-z])\"");
  std::set<std::string> names;
  for (const char* folder : {"proxy", "filters"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(kRoot / folder)) {
      if (entry.path().extension() != ".cc") continue;
      names.merge(Matches(ReadFile(entry.path()), literal));
    }
  }
  return names;
}

TEST(HeadersPage, NamesEachExtensionFieldOfTheSourceAndNoOther) {
  const std::string page = ReadFile(kRoot / "docs" / "headers.md");
  // At the start of a quoted piece; `x-outrigger-...` is a prefix.
  const std::set<std::string> on_page = Matches(page, std::regex("`(x-[a-z-]*[a-z])[`:;]"));
  const std::set<std::string> in_source = NamesInSource();
  EXPECT_GT(in_source.size(), 10u);
  EXPECT_EQ(on_page, in_source);
}

}  // namespace
}  // namespace outrigger
