#include "proxy/inject/yaml.h"

#include <string>

#include "gtest/gtest.h"

namespace outrigger::inject {
namespace {

Json Read(std::string_view text) {
  const absl::StatusOr<std::vector<Json>> documents = ReadYaml(text);
  EXPECT_TRUE(documents.ok()) << documents.status().message();
  return documents.ok() && documents->size() == 1 ? documents->front() : Json("not one document");
}

TEST(Yaml, TellsWordsNumbersAndQuotedOnesApart) {
  const Json json = Read(R"({a: 15020, b: "15020", c: true, d: "true", e: ~, f: 1.5, g: 0x, h: 10m,
                             i: "", j: '8', k: -3, l: 1.2.3, m: "null"})");
  EXPECT_EQ(json.dump(),
            R"({"a":15020,"b":"15020","c":true,"d":"true","e":null,"f":1.5,"g":"0x","h":"10m",)"
            R"("i":"","j":"8","k":-3,"l":"1.2.3","m":"null"})");
}

TEST(Yaml, IsTheSameAfterWritingAndReading) {
  const Json values = Json::parse(R"json([
    {"text": "15020", "words": "two words", "yes": "yes", "No": "No", "on": "on", "null": "null"},
    {"colon": "a: b", "hash": "# no comment", "dash": "- x", "lines": "one\ntwo\n", "quote": "\"'\\"},
    {"nested": {"list": [[1, 2], [], [{"a": 1, "b": [{"c": {}}]}]]}, "empty": "", "none": null},
    [], {}, "only text", [[["deep"]]], {"unicode": "\u00e9\u4e2d", "tab": "a\tb", "1": 1, "~": "~"}
  ])json");
  for (const Json& value : values) {
    const std::string text = WriteYaml({value});
    EXPECT_EQ(Read(text), value) << text;
  }
}

TEST(Yaml, WritesBlocks) {
  EXPECT_EQ(WriteYaml({Json::parse(
                R"({"kind": "Pod", "spec": {"list": [{"a": 1, "b": "2"}], "x": {}}})")}),
            "---\nkind: Pod\nspec:\n  list:\n  - a: 1\n    b: \"2\"\n  x: {}\n");
}

TEST(Yaml, ReadsSeveralDocumentsAndLeavesEmptyOnesOut) {
  const auto documents = ReadYaml("---\na: 1\n---\n# nothing\n---\nb: 2\n");
  ASSERT_TRUE(documents.ok());
  EXPECT_EQ(documents->size(), 2);
}

TEST(Yaml, SaysWhereItIsWrong) {
  const auto documents = ReadYaml("a: [1\nb: 2\n");
  ASSERT_FALSE(documents.ok());
  EXPECT_NE(documents.status().message().find("line"), absl::string_view::npos);
}

}  // namespace
}  // namespace outrigger::inject
