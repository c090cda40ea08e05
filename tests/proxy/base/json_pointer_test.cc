#include "proxy/base/json_pointer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace outrigger {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(JsonPointer, HasItsTokensWithoutEscapes) {
  // The examples of RFC 6901, section 5.
  EXPECT_THAT(ParseJsonPointer("").value(), IsEmpty());
  EXPECT_THAT(ParseJsonPointer("/foo").value(), ElementsAre("foo"));
  EXPECT_THAT(ParseJsonPointer("/foo/0").value(), ElementsAre("foo", "0"));
  EXPECT_THAT(ParseJsonPointer("/").value(), ElementsAre(""));
  EXPECT_THAT(ParseJsonPointer("/a~1b").value(), ElementsAre("a/b"));
  EXPECT_THAT(ParseJsonPointer("/m~0n").value(), ElementsAre("m~n"));
  EXPECT_THAT(ParseJsonPointer("/k\"l").value(), ElementsAre("k\"l"));
  EXPECT_THAT(ParseJsonPointer("/ ").value(), ElementsAre(" "));

  EXPECT_THAT(ParseJsonPointer("/a//b/").value(), ElementsAre("a", "", "b", ""));
  // Not "/": ~0 is read before what follows it.
  EXPECT_THAT(ParseJsonPointer("/~01").value(), ElementsAre("~1"));
}

TEST(JsonPointer, SaysWhatIsWrong) {
  for (const char* text : {"a", "a/b", "#/a", " /a"}) {
    EXPECT_EQ(ParseJsonPointer(text).status().message(), "it must begin with '/'") << text;
  }
  for (const char* text : {"/~", "/a~", "/a~2", "/~/a", "/~~0"}) {
    EXPECT_EQ(ParseJsonPointer(text).status().message(),
              "after '~' must come 0 (for '~') or 1 (for '/')")
        << text;
  }
}

}  // namespace
}  // namespace outrigger
