#include "proxy/http/method.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace outrigger::http {
namespace {

TEST(Method, EveryNameIsParsedBackToItsMethod) {
  for (uint8_t i = 1; i < static_cast<uint8_t>(Method::kCount); ++i) {
    const auto method = static_cast<Method>(i);
    EXPECT_FALSE(MethodName(method).empty());
    EXPECT_EQ(ParseMethod(MethodName(method)), method) << MethodName(method);
  }
}

TEST(Method, CaseAndEveryCharacterMatter) {
  for (uint8_t i = 1; i < static_cast<uint8_t>(Method::kCount); ++i) {
    const std::string name(MethodName(static_cast<Method>(i)));
    EXPECT_EQ(ParseMethod(name + "X"), Method::kOther);
    EXPECT_EQ(ParseMethod(name.substr(0, name.size() - 1)), Method::kOther);
    for (size_t at = 0; at < name.size(); ++at) {
      std::string other = name;
      other[at] = static_cast<char>(other[at] | 0x20);
      EXPECT_EQ(ParseMethod(other), Method::kOther) << other;
    }
  }
  EXPECT_EQ(ParseMethod(""), Method::kOther);
  EXPECT_EQ(ParseMethod("PROPFIND"), Method::kOther);
}

TEST(Method, IdempotenceFollowsTheDefinitionOfTheMethods) {
  for (const char* name : {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}) {
    EXPECT_TRUE(IsIdempotent(ParseMethod(name))) << name;
  }
  for (const char* name : {"POST", "PATCH", "CONNECT", "MERGE"}) {
    EXPECT_FALSE(IsIdempotent(ParseMethod(name))) << name;
  }
}

TEST(Method, SafeMethodsAreTheReadOnlyOnes) {
  for (const char* name : {"GET", "HEAD", "OPTIONS", "TRACE"}) {
    EXPECT_TRUE(IsSafe(ParseMethod(name))) << name;
  }
  for (const char* name : {"POST", "PATCH", "PUT", "DELETE", "CONNECT", "MERGE"}) {
    EXPECT_FALSE(IsSafe(ParseMethod(name))) << name;
  }
}

}  // namespace
}  // namespace outrigger::http
