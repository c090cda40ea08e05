#include "proxy/injector/json_patch.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace outrigger::injector {
namespace {

struct Case {
  const char* name;
  const char* before;
  const char* after;
  const char* patch;
};

TEST(JsonPatch, SaysWhatChanged) {
  const Case cases[] = {
      {"nothing", R"({"a":[1,{"b":null}]})", R"({"a":[1,{"b":null}]})", "[]"},
      {"order", R"({"a":1,"b":2})", R"({"b":2,"a":1})", "[]"},
      {"member", R"({"a":1})", R"({"a":1,"b":{"c":2}})",
       R"([{"op":"add","path":"/b","value":{"c":2}}])"},
      {"value", R"({"a":{"b":1}})", R"({"a":{"b":"1"}})",
       R"([{"op":"replace","path":"/a/b","value":"1"}])"},
      {"removed", R"({"a":1,"b":2})", R"({"b":2})", R"([{"op":"remove","path":"/a"}])"},
      {"null to list", R"({"a":null})", R"({"a":[1]})",
       R"([{"op":"replace","path":"/a","value":[1]}])"},
      {"in front", R"({"a":[3]})", R"({"a":[1,2,3]})",
       R"([{"op":"add","path":"/a/0","value":2},{"op":"add","path":"/a/0","value":1}])"},
      {"behind", R"({"a":[1]})", R"({"a":[1,2,3]})",
       R"([{"op":"add","path":"/a/-","value":2},{"op":"add","path":"/a/-","value":3}])"},
      {"empty list", R"({"a":[]})", R"({"a":[1]})", R"([{"op":"add","path":"/a/0","value":1}])"},
      {"element", R"([{"name":"x","port":1},2])", R"([{"port":1},2])",
       R"([{"op":"remove","path":"/0/name"}])"},
      {"in front of one that changes", R"({"a":[{"name":"x","p":1},{"name":"y"}]})",
       R"({"a":[{"name":"n"},{"name":"x","p":2},{"name":"y"}]})",
       R"([{"op":"add","path":"/a/0","value":{"name":"n"}},)"
       R"({"op":"replace","path":"/a/1/p","value":2}])"},
      {"in front of others", R"({"a":[{"name":"x"}]})", R"({"a":[{"name":"n"},{"name":"y"}]})",
       R"([{"op":"replace","path":"/a","value":[{"name":"n"},{"name":"y"}]}])"},
      {"shorter", R"({"a":[1,2]})", R"({"a":[2]})",
       R"([{"op":"replace","path":"/a","value":[2]}])"},
      {"slash and tilde", R"({"m":{}})", R"({"m":{"a/b":1,"c~d":2,"~1":3}})",
       R"([{"op":"add","path":"/m/a~1b","value":1},{"op":"add","path":"/m/c~0d","value":2},)"
       R"({"op":"add","path":"/m/~01","value":3}])"},
      {"unicode", R"({"é\"\\":1})", R"({"é\"\\":"中\u0007"})",
       R"([{"op":"replace","path":"/é\"\\","value":"中\u0007"}])"},
      {"empty name", R"({"":1})", R"({"":2})", R"([{"op":"replace","path":"/","value":2}])"},
  };
  for (const Case& each : cases) {
    const Json before = Json::parse(each.before);
    const Json after = Json::parse(each.after);
    const Json patch = MakePatch(before, after);
    EXPECT_EQ(patch.dump(), Json::parse(each.patch).dump()) << each.name;
    EXPECT_EQ(nlohmann::json(before.patch(patch)), nlohmann::json(after)) << each.name;
  }
  EXPECT_EQ(MakePatch(1, 2, "/spec/x")[0]["path"], "/spec/x");
}

Json Anything(std::mt19937& random, int depth) {
  switch (random() % (depth > 0 ? 6 : 4)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 3;
    case 2:
      return std::string(random() % 3, 'x');
    case 3:
      return random() % 2 == 0;
    case 4: {
      Json list = Json::array();
      for (size_t i = random() % 4; i > 0; --i) list.push_back(Anything(random, depth - 1));
      return list;
    }
    default: {
      Json object = Json::object();
      const char* const names[] = {"a", "b/", "~c", ""};
      for (const char* name : names) {
        if (random() % 2 == 0) object[name] = Anything(random, depth - 1);
      }
      return object;
    }
  }
}

TEST(JsonPatch, MakesTheOneOfTheOther) {
  constexpr unsigned kSeed = 20261128;
  std::mt19937 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    // As the document of a patch, which never is replaced as a whole here.
    const Json before = {{"root", Anything(random, 3)}};
    const Json after = {{"root", Anything(random, 3)}};
    const Json patch = MakePatch(before, after);
    ASSERT_EQ(nlohmann::json(before.patch(patch)), nlohmann::json(after))
        << kSeed << " " << i << " " << before << " " << after << " " << patch;
    ASSERT_EQ(patch.empty(), nlohmann::json(before) == nlohmann::json(after));
  }
}

}  // namespace
}  // namespace outrigger::injector
