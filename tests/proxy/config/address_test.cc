#include "proxy/config/address.h"

#include <string>

#include "gtest/gtest.h"

namespace outrigger::config {
namespace {

TEST(Address, ReadsEveryForm) {
  const struct {
    std::string_view text;
    Address::Kind kind;
    bool is_local;
  } kCases[] = {
      {"127.0.0.1:8000", Address::Kind::kIpv4, true},
      {"10.1.2.3:80", Address::Kind::kIpv4, false},
      {"[::1]:8000", Address::Kind::kIpv6, true},
      {"[2001:db8::1]:65535", Address::Kind::kIpv6, false},
      {"localhost:1", Address::Kind::kName, true},
      {"llm.svc.cluster.local:8000", Address::Kind::kName, false},
      {"llm.svc.cluster.local.:8000", Address::Kind::kName, false},
      {"my_app-1:8000", Address::Kind::kName, false},
      {"unix:/run/app.sock", Address::Kind::kUnix, true},
  };
  for (const auto& c : kCases) {
    const absl::StatusOr<Address> address = ParseAddress(c.text, AddressUse::kConnect);
    ASSERT_TRUE(address.ok()) << c.text << ": " << address.status();
    EXPECT_EQ(address->kind, c.kind) << c.text;
    EXPECT_EQ(address->IsLocal(), c.is_local) << c.text;
    EXPECT_EQ(address->ToString(), c.text);
  }
}

TEST(Address, RefusesWhatCannotBeConnectedTo) {
  const std::string long_label(64, 'a');
  for (const std::string& text : {std::string(""),
                                  std::string("127.0.0.1"),
                                  std::string(":8000"),
                                  std::string("::1:8000"),
                                  std::string("[::1]"),
                                  std::string("[]:80"),
                                  std::string("[127.0.0.1]:80"),
                                  std::string("127.0.0.1:"),
                                  std::string("127.0.0.1:0"),
                                  std::string("127.0.0.1:65536"),
                                  std::string("127.0.0.1:-1"),
                                  std::string("127.0.0.1:http"),
                                  std::string("256.0.0.1:80"),
                                  std::string("1.2.3:80"),
                                  std::string("-a:80"),
                                  std::string("a-:80"),
                                  std::string("a..b:80"),
                                  std::string("a b:80"),
                                  std::string("*:80"),
                                  std::string("http://a:80"),
                                  long_label + ":80",
                                  std::string("unix:run/app.sock"),
                                  std::string("unix:"),
                                  std::string("unix:@name")}) {
    EXPECT_FALSE(ParseAddress(text, AddressUse::kConnect).ok()) << text;
  }
}

TEST(Address, ListensOnAddressesAndFreePortsButNotOnNames) {
  EXPECT_TRUE(ParseAddress("0.0.0.0:0", AddressUse::kListen).ok());
  EXPECT_TRUE(ParseAddress("localhost:0", AddressUse::kListen).ok());
  EXPECT_TRUE(ParseAddress("[::]:15001", AddressUse::kListen).ok());
  EXPECT_FALSE(ParseAddress("example.com:80", AddressUse::kListen).ok());
}

TEST(Address, LimitsTheLengthOfUnixPaths) {
  // sockaddr_un has 108 bytes, the last of which ends the text.
  const std::string longest = "unix:/" + std::string(106, 'a');
  EXPECT_TRUE(ParseAddress(longest, AddressUse::kListen).ok());
  const absl::StatusOr<Address> longer = ParseAddress(longest + "a", AddressUse::kListen);
  EXPECT_EQ(longer.status().message(),
            "the path of a unix socket has at most 107 bytes, this one has 108");
}

}  // namespace
}  // namespace outrigger::config
