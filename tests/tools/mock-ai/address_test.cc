#include "tools/mock-ai/address.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace outrigger::mock_ai {
namespace {

TEST(ParseAddress, WritesBackWhatItRead) {
  for (const std::string_view text : {"127.0.0.1:0", "0.0.0.0:65535", "[::1]:80", "unix:/run/a"}) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(ParseAddress, RefusesEverythingElse) {
  for (const std::string& text :
       {std::string("localhost:80"), std::string("127.0.0.1"), std::string("127.0.0.1:"),
        std::string("127.0.0.1:65536"), std::string("127.0.0.1:x"), std::string("::1:80"),
        std::string("unix:"), "unix:/" + std::string(200, 'a')}) {
    EXPECT_EQ(ParseAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace outrigger::mock_ai
