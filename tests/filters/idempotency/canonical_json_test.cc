#include "filters/idempotency/canonical_json.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/filters/idempotency/json_reference.h"

namespace outrigger::idempotency {
namespace {

JsonRules Ignoring(const std::vector<std::string>& pointers) {
  std::vector<JsonPointer> read;
  for (const std::string& pointer : pointers) read.push_back(ParseJsonPointer(pointer).value());
  return {.ignored = IgnoredMembers(std::move(read))};
}

std::string Form(std::string_view text, const JsonRules& rules = {}) {
  return CanonicalJson(text, rules).value_or("none");
}

std::string Nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(CanonicalJson, IsThatOfTheRfc) {
  // Section 3.2.2.
  EXPECT_EQ(Form(R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]})"),
            R"({"literals":[null,true,false],)"
            R"("numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],)"
            R"("string":"€$\u000f\nA'B\"\\\\\"/"})");
  // Section 3.2.3: by UTF-16, in which the smiley comes before the Hebrew letter.
  EXPECT_EQ(Form(R"({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4,
                     "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7})"),
            "{\"\\r\":2,\"1\":4,\"\xC2\x80\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\xEF\xAC\xB3\":3}");
}

TEST(CanonicalJson, LeavesOutWhatSaysNothing) {
  EXPECT_EQ(Form(" { } "), "{}");
  EXPECT_EQ(Form("[ ]"), "[]");
  EXPECT_EQ(Form("\t\r\n 1.0 "), "1");
  EXPECT_EQ(Form(R"("\u0041\/")"), R"("A/")");
  EXPECT_EQ(Form("-0"), "0");
  EXPECT_EQ(Form(R"({"b": {"d": 1, "c": [{"f": 2, "e": 3}]}, "a": []})"),
            R"({"a":[],"b":{"c":[{"e":3,"f":2}],"d":1}})");
  EXPECT_EQ(Form("[2, 1]"), "[2,1]");
  // Not a change of what is written: no normalisation, no folding of case.
  EXPECT_NE(Form(R"("\u00e9")"), Form(R"("e\u0301")"));
  EXPECT_NE(Form(R"({"A": 1})"), Form(R"({"a": 1})"));
}

TEST(CanonicalJson, TextsThatAreNotIJsonHaveNone) {
  const std::string nul(1, '\0');
  for (const std::string& text : std::vector<std::string>{
           "", " ", "nul", "tru", "{", "[1", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "[1 2]",
           "{\"a\" 1}", "{\"a\"}", "{}{}", "1 2", "// x\n1", "/**/1", "NaN", "Infinity", "-", "+1",
           "01", "1.", ".5", "1e", "0x1", "\"a", "\"\\x\"", "\"\\u12\"", "\"\n\"", "\"\x01\"", "]",
           // Not UTF-8: a stray byte, an overlong form, a surrogate, beyond U+10FFFF, cut.
           "\"\x80\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\"",
           // Half of a pair.
           R"("\ud83d")", R"("\ude00")", R"("\ud83d\u0041")", R"({"\udc00": 1})",
           // A name twice, also when it is written in another way.
           R"({"a": 1, "a": 1})", R"({"a": 1, "b": 2, "\u0061": 3})", R"([{"": 1, "": 2}])",
           // Behind a zero byte the parser looks no further; a byte order mark it skips.
           "{}" + nul, "{}" + nul + "x", "{\"a\":1" + nul + "}", nul, "\xEF\xBB\xBF{}",
           "\xEF\xBB{}", "{}\xEF\xBB\xBF"}) {
    EXPECT_EQ(Form(text), "none") << text;
  }
}

TEST(CanonicalJson, NumbersThatWouldNotKeepTheirValueHaveNone) {
  EXPECT_EQ(Form("[9007199254740991, -9007199254740991]"), "[9007199254740991,-9007199254740991]");
  EXPECT_EQ(Form("[9007199254740992]"), "[9007199254740992]");
  for (const char* text :
       {"9007199254740993", "-9007199254740993", "18446744073709551615", "-9223372036854775808",
        "123456789012345678901234567890", "1e400", "1e-400", "0.99999999999999999"}) {
    EXPECT_EQ(Form(text), "none") << text;
    EXPECT_EQ(Form("{\"a\": [" + std::string(text) + "]}"), "none") << text;
  }
}

TEST(CanonicalJson, IgnoresMembersByTheirPointers) {
  const JsonRules rules =
      Ignoring({"/user", "/metadata/trace_id", "/a~1b/c~0d", "/list/1/id", "/"});
  EXPECT_EQ(Form(R"({"user": "x", "b": 1, "a": 2})", rules), R"({"a":2,"b":1})");
  EXPECT_EQ(Form(R"({"user": {"user": [1]}})", rules), "{}");
  EXPECT_EQ(Form(R"({"metadata": {"trace_id": 1, "team": "x"}})", rules),
            R"({"metadata":{"team":"x"}})");
  EXPECT_EQ(Form(R"({"metadata": {"trace_id": 1}})", rules), R"({"metadata":{}})");
  EXPECT_EQ(Form(R"({"a/b": {"c~d": 1, "c": 2}})", rules), R"({"a/b":{"c":2}})");
  EXPECT_EQ(Form(R"({"": 1})", rules), "{}");
  EXPECT_EQ(Form(R"({"\u0075ser": 1})", rules), "{}");
  // What is deeper, or not there, or not an object, stays.
  for (const char* text :
       {R"({"inner":{"user":1}})", R"([{"user":1}])", R"("user")", R"({"User":1})",
        R"({"metadata":[{"trace_id":1}]})", R"({"metadata":"trace_id"})", R"({"trace_id":1})"}) {
    EXPECT_EQ(Form(text, rules), text);
  }
}

TEST(CanonicalJson, EntersElementsButLeavesNoneOut) {
  const JsonRules rules = Ignoring({"/list/1/id", "/other/0", "/deep/0/0/x"});
  EXPECT_EQ(Form(R"({"list":[{"id":1},{"id":2,"n":3},{"id":4}]})", rules),
            R"({"list":[{"id":1},{"n":3},{"id":4}]})");
  EXPECT_EQ(Form(R"({"other":["x"]})", rules), R"({"other":["x"]})");
  // The same token is a member's name in an object.
  EXPECT_EQ(Form(R"({"other":{"0":"x"},"list":{"1":{"id":2}}})", rules),
            R"({"list":{"1":{}},"other":{}})");
  EXPECT_EQ(Form(R"({"deep":[[{"x":1},{"x":2}],[{"x":3}]]})", rules),
            R"({"deep":[[{},{"x":2}],[{"x":3}]]})");
}

TEST(CanonicalJson, AsksOfAnIgnoredValueOnlyThatItIsJson) {
  const JsonRules rules = Ignoring({"/user"});
  EXPECT_EQ(Form(R"({"user": {"id": 9007199254740993, "a": 1, "a": 2}, "b": 1})", rules),
            R"({"b":1})");
  EXPECT_EQ(Form(R"({"user": "\ud83d"})", rules), "none");
  EXPECT_EQ(Form(R"({"user": [1)", rules), "none");
  EXPECT_EQ(Form(R"({"user": 1, "user": 2})", rules), "none");
  EXPECT_EQ(Form("{\"user\": " + Nested(kMaxJsonDepth - 1) + "}", rules), "{}");
  EXPECT_EQ(Form("{\"user\": " + Nested(kMaxJsonDepth) + "}", rules), "none");
}

TEST(CanonicalJson, MayHaveAsManyPointersAsThereAreBits) {
  std::vector<std::string> pointers;
  std::string text = "{\"stays\":0";
  for (size_t i = 0; i < IgnoredMembers::kMax; ++i) {
    pointers.push_back("/a/m" + std::to_string(i));
    text += ",\"m" + std::to_string(i) + "\":1";
  }
  EXPECT_EQ(Form("{\"a\":" + text + "}}", Ignoring(pointers)), R"({"a":{"stays":0}})");
}

TEST(CanonicalJson, HasBounds) {
  EXPECT_EQ(Form(Nested(kMaxJsonDepth)), Nested(kMaxJsonDepth));
  EXPECT_EQ(Form(Nested(kMaxJsonDepth + 1)), "none");
  EXPECT_EQ(Form(Nested(100'000)), "none");
  const JsonRules small{.max_bytes = 10};
  EXPECT_EQ(Form("\"12345678\"", small), "\"12345678\"");
  EXPECT_EQ(Form("\"12345678\" ", small), "none");
  EXPECT_EQ(Form("\"123456789\"", small), "none");
  // The form may be larger than the text.
  EXPECT_EQ(Form("[1e8]", small), "none");
  EXPECT_EQ(Form("[1e7]", small), "[10000000]");
}

TEST(CanonicalJson, IsOneForAllSpellingsOfAValue) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  JsonRandom random(seed);
  for (int round = 0; round < 3000; ++round) {
    const JsonValue value = RandomJson(random, 4);
    const std::string expected = Reference(value);
    for (int i = 0; i < 3; ++i) {
      const std::string text = Spell(value, random);
      ASSERT_EQ(Form(text), expected) << text;
    }
    ASSERT_EQ(Form(expected), expected);
  }
}

TEST(CanonicalJson, OfAChangedIgnoredMemberIsTheSame) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  JsonRandom random(seed);
  const JsonRules rules = Ignoring({"/trace", "/meta/id"});
  for (int round = 0; round < 1000; ++round) {
    JsonValue value;
    value.kind = JsonValue::Kind::kObject;
    value.members[u"x"] = RandomJson(random, 3);
    value.members[u"meta"].kind = JsonValue::Kind::kObject;
    value.members[u"meta"].members[u"y"] = RandomJson(random, 2);
    const std::string expected = Reference(value);
    value.members[u"trace"] = RandomJson(random, 3);
    value.members[u"meta"].members[u"id"] = RandomJson(random, 3);
    const std::string text = Spell(value, random);
    ASSERT_EQ(Form(text, rules), expected) << text;
    ASSERT_NE(Form(text), expected);
  }
}

// Whatever a byte of it becomes, a text keeps its form only if it keeps its value.
TEST(CanonicalJson, IsAnotherForAnotherValue) {
  const std::string text =
      R"({"model":"m-1","n":[1,20,0.5,true],"s":"a\u0041\n","z":{"k":null,"l":-3e5}})";
  const std::string form = Form(text);
  for (size_t at = 0; at < text.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[at] = static_cast<char>(byte);
      const std::string other = Form(changed);
      if (other != form) continue;
      // The same character in an escape's other case, or the exponent's.
      EXPECT_TRUE(byte == static_cast<unsigned char>(text[at]) || changed[at] == 'E') << changed;
    }
  }
}

}  // namespace
}  // namespace outrigger::idempotency
