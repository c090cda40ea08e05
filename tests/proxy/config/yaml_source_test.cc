#include "proxy/config/yaml_source.h"

#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"

namespace outrigger::config {
namespace {

std::string ErrorOf(std::string_view text) {
  const Expected<NodePtr, ConfigError> root = LoadYaml(text);
  if (root.ok()) return "accepted";
  const ConfigError& error = root.error();
  return fmt::format("{}:{}: {}", error.where.line, error.where.column, error.message);
}

TEST(YamlSource, KeepsThePlaceOfEveryElement) {
  const Expected<NodePtr, ConfigError> root = LoadYaml("a: 1\nb:\n  - x\n  - {c: 'y', d: [z]}\n");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(Locate(**root, "a"), (SourceLocation{1, 4}));
  EXPECT_EQ(Locate(**root, "b"), (SourceLocation{3, 3}));
  EXPECT_EQ(Locate(**root, "b[0]"), (SourceLocation{3, 5}));
  EXPECT_EQ(Locate(**root, "b[1].c"), (SourceLocation{4, 9}));
  EXPECT_EQ(Locate(**root, "b[1].d[0]"), (SourceLocation{4, 18}));
  EXPECT_TRUE((*root)->Find("b")->items[1]->Find("c")->quoted);
}

TEST(YamlSource, LocatesTheNearestElementOfWhatIsNotStated) {
  const Expected<NodePtr, ConfigError> root = LoadYaml("a: 1\nb:\n  - x\n");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(Locate(**root, "b[7].c.d"), (SourceLocation{3, 3}));
  EXPECT_EQ(Locate(**root, "nothing"), (SourceLocation{1, 1}));
}

TEST(YamlSource, ReadsAnEmptyDocumentAsNothing) {
  for (const std::string_view text : {"", "\n", "# only a comment\n", "---\n", "\xEF\xBB\xBF"}) {
    const Expected<NodePtr, ConfigError> root = LoadYaml(text);
    ASSERT_TRUE(root.ok()) << text;
    EXPECT_EQ((*root)->kind, Node::Kind::kNull) << text;
  }
}

TEST(YamlSource, ResolvesAliases) {
  const Expected<NodePtr, ConfigError> root = LoadYaml("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ((*root)->Find("c"), (*root)->Find("a"));
  EXPECT_EQ((*root)->Find("d")->items[1].get(), (*root)->Find("a"));
}

TEST(YamlSource, RefusesWhatIsNotYaml) {
  EXPECT_EQ(ErrorOf("a: [1"), "1:6: not valid YAML: end of sequence flow not found");
  EXPECT_EQ(ErrorOf("a: 1\n b: 2"), "2:3: not valid YAML: illegal map value");
  EXPECT_EQ(ErrorOf("a: *x"), "1:4: not valid YAML: the referenced anchor is not defined");
}

TEST(YamlSource, RefusesASecondDocument) {
  EXPECT_EQ(ErrorOf("a: 1\n---\nb: 2\n"), "2:1: a second document starts here; one is expected");
}

TEST(YamlSource, RefusesMergeKeysTagsAndKeysThatAreNoText) {
  EXPECT_EQ(ErrorOf("a: &x {b: 1}\nc:\n  <<: *x\n"),
            "3:3: merge keys (<<) are not supported; repeat the keys instead");
  EXPECT_EQ(ErrorOf("a: !!str 1"), "1:4: tags are not supported: 'tag:yaml.org,2002:str'");
  EXPECT_EQ(ErrorOf("? [a]\n: b"), "1:3: a key must be text");
  EXPECT_EQ(ErrorOf("? {a: b}\n: c"), "1:3: a key must be text");
  EXPECT_EQ(ErrorOf("~: c"), "1:1: a key must be text");
}

TEST(YamlSource, RefusesTextThatIsNotUtf8) {
  EXPECT_EQ(ErrorOf("a: 1\nb: \xFFx"),
            "2:4: the byte 0xff is not valid UTF-8; save the file as UTF-8");
  EXPECT_EQ(ErrorOf("a: \xC0\x80"),
            "1:4: the byte 0xc0 is not valid UTF-8; save the file as UTF-8");
  EXPECT_EQ(ErrorOf("a: \xED\xA0\x80"),
            "1:4: the byte 0xed is not valid UTF-8; save the file as UTF-8");
  EXPECT_EQ(ErrorOf("\xC3\xA4\xC3\xA4: \xE2\x82"),
            "1:5: the byte 0xe2 is not valid UTF-8; save the file as UTF-8");
  EXPECT_EQ(ErrorOf(std::string_view("a: \0", 4)),
            "1:4: the control character 0x00 is not allowed");
  EXPECT_TRUE(LoadYaml("a: \"\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x9B\xB6\"").ok());
}

TEST(YamlSource, RefusesFilesThatAreTooLargeOrTooDeep) {
  EXPECT_EQ(ErrorOf(std::string((1 << 20) + 1, '#')),
            "1:1: the file has 1048577 bytes, at most 1048576 are accepted");
  EXPECT_TRUE(LoadYaml(std::string(1 << 20, '#')).ok());
  EXPECT_EQ(ErrorOf("a: " + std::string(100, '[') + std::string(100, ']')),
            "1:35: nested deeper than 32 levels");
  std::string block;
  for (int i = 0; i < 1000; ++i) block += std::string(i, ' ') + "a:\n";
  EXPECT_EQ(ErrorOf(block), "33:33: nested deeper than 32 levels");
}

TEST(YamlSource, RefusesAliasesThatStandForTooMuch) {
  // The billion laughs: each line refers ten times to the one before.
  std::string laughs = "l0: &l0 ha\n";
  for (int i = 1; i < 10; ++i) {
    laughs += fmt::format("l{}: &l{} [", i, i);
    for (int j = 0; j < 10; ++j) laughs += fmt::format("*l{},", i - 1);
    laughs += "]\n";
  }
  EXPECT_EQ(ErrorOf(laughs),
            "6:46: more than 100000 elements, those that aliases stand for included");
}

TEST(YamlSource, RefusesAliasesToThemselves) {
  EXPECT_EQ(ErrorOf("a: &x [*x]"), "1:8: this alias stands inside of what it refers to");
}

}  // namespace
}  // namespace outrigger::config
