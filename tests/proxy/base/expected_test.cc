#include "proxy/base/expected.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace outrigger {
namespace {

struct Problem {
  int code = 0;
};

Expected<std::unique_ptr<int>, Problem> Halve(int number) {
  if (number % 2 != 0) return Problem{number};
  return std::make_unique<int>(number / 2);
}

TEST(Expected, HoldsAValueOrAnError) {
  Expected<std::unique_ptr<int>, Problem> good = Halve(8);
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(**good, 4);
  Expected<std::unique_ptr<int>, Problem> bad = Halve(7);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, 7);
}

TEST(Expected, GivesUpItsValueByMove) {
  Expected<std::unique_ptr<int>, Problem> good = Halve(8);
  const std::unique_ptr<int> taken = std::move(good).value();
  EXPECT_EQ(*taken, 4);
  EXPECT_EQ(good.value(), nullptr);
}

TEST(Expected, ReachesMembersOfTheValue) {
  Expected<std::string, Problem> text = std::string("abc");
  EXPECT_EQ(text->size(), 3u);
  *text += "d";
  EXPECT_EQ(text.value(), "abcd");
}

TEST(Expected, ReplacesAnErrorByAValue) {
  Expected<std::string, Problem> state = Problem{1};
  state = std::string("late");
  EXPECT_TRUE(state.ok());
  EXPECT_EQ(*state, "late");
}

TEST(ExpectedDeathTest, EndsTheProcessWhenTheWrongSideIsAskedFor) {
  Expected<std::string, Problem> error = Problem{1};
  EXPECT_DEATH((void)error.value(), "");
  Expected<std::string, Problem> value = std::string("x");
  EXPECT_DEATH((void)value.error(), "");
}

}  // namespace
}  // namespace outrigger
