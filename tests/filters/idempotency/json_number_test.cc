#include "filters/idempotency/json_number.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace outrigger::idempotency {
namespace {

std::string Written(double value) {
  std::string text;
  AppendJsonNumber(value, text);
  return text;
}

TEST(JsonNumber, IsWrittenAsTheRfcSays) {
  struct Case {
    uint64_t bits;
    const char* text;
  };
  // RFC 8785, appendix B.
  for (const Case& c : {Case{0x0000000000000000, "0"},
                        Case{0x8000000000000000, "0"},
                        Case{0x0000000000000001, "5e-324"},
                        Case{0x8000000000000001, "-5e-324"},
                        Case{0x7fefffffffffffff, "1.7976931348623157e+308"},
                        Case{0xffefffffffffffff, "-1.7976931348623157e+308"},
                        Case{0x4340000000000000, "9007199254740992"},
                        Case{0xc340000000000000, "-9007199254740992"},
                        Case{0x4430000000000000, "295147905179352830000"},
                        Case{0x44b52d02c7e14af5, "9.999999999999997e+22"},
                        Case{0x44b52d02c7e14af6, "1e+23"},
                        Case{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
                        Case{0x444b1ae4d6e2ef4e, "999999999999999700000"},
                        Case{0x444b1ae4d6e2ef4f, "999999999999999900000"},
                        Case{0x444b1ae4d6e2ef50, "1e+21"},
                        Case{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
                        Case{0x3eb0c6f7a0b5ed8d, "0.000001"},
                        Case{0x41b3de4355555553, "333333333.3333332"},
                        Case{0x41b3de4355555554, "333333333.33333325"},
                        Case{0x41b3de4355555555, "333333333.3333333"},
                        Case{0x41b3de4355555556, "333333333.3333334"},
                        Case{0x41b3de4355555557, "333333333.33333343"},
                        Case{0xbecbf647612f3696, "-0.0000033333333333333333"},
                        Case{0x43143ff3c1cb0959, "1424953923781206.2"}}) {
    EXPECT_EQ(Written(std::bit_cast<double>(c.bits)), c.text);
  }
}

TEST(JsonNumber, IsWrittenInTheFormOfItsSize) {
  EXPECT_EQ(Written(100), "100");
  EXPECT_EQ(Written(-1.5), "-1.5");
  EXPECT_EQ(Written(123456789012345680000.0), "123456789012345680000");
  EXPECT_EQ(Written(0.1), "0.1");
  EXPECT_EQ(Written(0.00001), "0.00001");
  EXPECT_EQ(Written(0.0000001), "1e-7");
  EXPECT_EQ(Written(0.000000123), "1.23e-7");
  EXPECT_EQ(Written(1.5e300), "1.5e+300");
}

// The fewest digits that printf needs for the value; found by trying.
int ShortestPrecision(double value) {
  for (int precision = 0;; ++precision) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*e", precision, value);
    if (std::strtod(text, nullptr) == value) return precision + 1;
  }
}

int CountDigits(const std::string& text) {
  std::string digits;
  for (char c : text.substr(0, text.find('e'))) {
    if (c >= '0' && c <= '9') digits += c;
  }
  digits.erase(0, digits.find_first_not_of('0'));
  digits.erase(digits.find_last_not_of('0') + 1);
  return static_cast<int>(digits.size());
}

TEST(JsonNumber, IsReadBackFromItsFewestDigits) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    const double value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const std::string text = Written(value);
    ASSERT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
    ASSERT_EQ(CountDigits(text), ShortestPrecision(value)) << text;
    ASSERT_TRUE(KeepsItsValue(text, value)) << text;
  }
}

bool Keeps(const std::string& text) {
  return KeepsItsValue(text, std::strtod(text.c_str(), nullptr));
}

TEST(JsonNumber, KeepsItsValueInAnySpelling) {
  for (const char* text : {"0",
                           "-0",
                           "0.0",
                           "-0.000e99",
                           "0e999999999999999999999",
                           "1",
                           "-1",
                           "1.0",
                           "10e-1",
                           "100",
                           "1E2",
                           "1e+2",
                           "0.1",
                           "0.10",
                           "1e-1",
                           "1e21",
                           "1e23",
                           "100000000000000000000000",
                           "9007199254740991",
                           "9007199254740992",
                           "9007199254740992.0",
                           "-9007199254740992",
                           "295147905179352830000",
                           "5e-324",
                           "1.7976931348623157e308",
                           "0.30000000000000004",
                           "123456789.123",
                           "2.50",
                           "0.0000000000000000000000000001e28"}) {
    EXPECT_TRUE(Keeps(text)) << text;
  }
}

TEST(JsonNumber, LosesItsValueRatherThanBecomeAnother) {
  for (const char* text :
       {"9007199254740993", "-9007199254740993", "9007199254740993.0", "90071992547409930e-1",
        "9.007199254740993e15", "18446744073709551615", "12345678901234567890",
        // A double has this one, but writes it 295147905179352830000.
        "295147905179352825856",
        // Fractions that a double takes for whole numbers, and for zero.
        "0.99999999999999999", "9007199254740991.5", "1e-400", "-1e-999999999999999999999",
        // More digits than it has, and less of them than usual.
        "0.1000000000000000055511151231257827", "3.14159265358979323846", "4.9e-324"}) {
    EXPECT_FALSE(Keeps(text)) << text;
  }
}

// As the RFC has it: what printf's %.17g writes of a double is that double.
TEST(JsonNumber, MayBeAFractionOfSeventeenDigits) {
  EXPECT_TRUE(Keeps("333333333.33333329"));
  EXPECT_TRUE(Keeps("0.10000000000000001"));
  EXPECT_TRUE(Keeps("0.69999999999999996"));
  EXPECT_FALSE(Keeps("0.699999999999999961"));
}

}  // namespace
}  // namespace outrigger::idempotency
