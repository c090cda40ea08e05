#include "proxy/net/address.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace outrigger::net {
namespace {

struct GoodAddress {
  const char* text;
  int family;
  uint16_t port;
  bool is_loopback;
  const char* host;
};

TEST(Address, ReadsNumbersAndPaths) {
  const GoodAddress kTable[] = {
      {"127.0.0.1:8000", AF_INET, 8000, true, "127.0.0.1"},
      {"127.255.0.9:1", AF_INET, 1, true, "127.255.0.9"},
      {"0.0.0.0:0", AF_INET, 0, false, "0.0.0.0"},
      {"10.1.2.3:65535", AF_INET, 65535, false, "10.1.2.3"},
      {"[::1]:80", AF_INET6, 80, true, "::1"},
      {"[::]:80", AF_INET6, 80, false, "::"},
      {"[fd00::12]:8080", AF_INET6, 8080, false, "fd00::12"},
      {"[::ffff:127.0.0.1]:80", AF_INET6, 80, true, "127.0.0.1"},
      {"[::ffff:10.0.0.1]:80", AF_INET6, 80, false, "10.0.0.1"},
      {"unix:/run/app.sock", AF_UNIX, 0, true, "unix"},
  };
  for (const GoodAddress& row : kTable) {
    SCOPED_TRACE(row.text);
    const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(row.text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_FALSE(endpoint->needs_resolving());
    EXPECT_EQ(endpoint->text, row.text);
    EXPECT_EQ(endpoint->address.family(), row.family);
    EXPECT_EQ(endpoint->address.is_unix(), row.family == AF_UNIX);
    EXPECT_EQ(endpoint->address.port(), row.port);
    EXPECT_EQ(endpoint->address.is_loopback(), row.is_loopback);
    EXPECT_EQ(endpoint->address.HostText(), row.host);
    EXPECT_EQ(endpoint->address.ToString(), row.text);
  }
}

TEST(Address, ReadsNothingBehindANul) {
  for (const std::string_view ip :
       {std::string_view("127.0.0.1\0", 10), std::string_view("127.0.0.1\0.evil", 15),
        std::string_view("::1\0x", 5), std::string_view("\0", 1)}) {
    EXPECT_FALSE(SocketAddress::FromIp(ip, 80).ok());
  }
  EXPECT_FALSE(ParseEndpoint(std::string_view("127.0.0.1\0:80", 13)).ok());
}

TEST(Address, LeavesNamesToTheResolver) {
  for (const char* host : {"localhost", "app.internal", "app_1-2", "a.b.c.svc.cluster.local"}) {
    const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(std::string(host) + ":8000");
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_TRUE(endpoint->needs_resolving());
    EXPECT_EQ(endpoint->host, host);
    EXPECT_EQ(endpoint->port, 8000);
  }
}

TEST(Address, SaysWhatIsWrong) {
  const std::string long_path = "unix:/" + std::string(200, 'x');
  const struct {
    std::string text;
    const char* why;
  } kTable[] = {
      {"", "expected host:port"},
      {"localhost", "expected host:port"},
      {":80", "the host is missing"},
      {"[]:80", "the host is missing"},
      {"localhost:", "the port is a number"},
      {"localhost:65536", "the port is a number"},
      {"localhost:99999999999", "the port is a number"},
      {"localhost:-1", "the port is a number"},
      {"localhost:+1", "the port is a number"},
      {"localhost:80x", "the port is a number"},
      {"localhost: 80", "the port is a number"},
      {"::1:80", "an IPv6 address stands in brackets"},
      {"[::1:80", "not a host name"},
      {"[localhost]:80", "not an IPv6 address"},
      {"[127.0.0.1]:80", "not an IPv6 address"},
      {"a b:80", "not a host name"},
      {"http://app:80", "not a host name"},
      {"unix:", "begins with '/'"},
      {"unix:app.sock", "begins with '/'"},
      {long_path, "at most 107 bytes"},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.text);
    const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(row.text);
    ASSERT_FALSE(endpoint.ok());
    EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string message(endpoint.status().message().data(),
                              endpoint.status().message().size());
    EXPECT_NE(message.find(row.why), std::string::npos) << message;
  }
}

TEST(Address, KeepsTheLongestUnixPath) {
  const std::string path = "/" + std::string(sizeof(sockaddr_un::sun_path) - 2, 'x');
  const absl::StatusOr<SocketAddress> address = SocketAddress::FromUnixPath(path);
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->ToString(), "unix:" + path);
}

}  // namespace
}  // namespace outrigger::net
