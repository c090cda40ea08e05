#include "proxy/tls/self_signed.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "proxy/tls/certificate.h"
#include "tests/proxy/tls/support.h"

namespace outrigger::tls {
namespace {

using SelfSignedTest = TlsPairTest;

absl::StatusOr<SelfSigned> Make(const std::string& name, std::vector<std::string> dns) {
  return MakeSelfSigned({.name = name, .dns = std::move(dns), .now = absl::Now()});
}

TEST_F(SelfSignedTest, ServesThoseWhoTrustIt) {
  const absl::StatusOr<SelfSigned> made = Make("pod-1", {"a.b.svc", "localhost"});
  ASSERT_TRUE(made.ok()) << made.status().message();
  const auto handshake = [&](const std::string& trusted) {
    server_options_.files = {};
    server_context_ = std::make_unique<ServerContext>(server_options_);
    EXPECT_TRUE(server_context_->Use(made->own).ok());
    client_options_.files.ca = folder_.Write("trusted.crt", trusted);
    client_context_ = std::make_unique<ClientContext>(client_options_);
    EXPECT_TRUE(client_context_->Load().ok());
    Open();
    return Handshake();
  };
  EXPECT_TRUE(handshake(made->pem));
  const std::string other = Make("pod-1", {"localhost"})->pem;
  EXPECT_TRUE(handshake(other + made->pem));
  EXPECT_TRUE(handshake(made->pem + other));
  EXPECT_FALSE(handshake(Make("pod-1", {"a.b.svc", "localhost"})->pem));
  EXPECT_FALSE(handshake(ca_.cert()));
}

TEST_F(SelfSignedTest, SaysWhatItWasAskedFor) {
  const absl::Time now = absl::FromUnixSeconds(1'750'000'000);
  const absl::StatusOr<SelfSigned> made =
      MakeSelfSigned({.name = "p", .dns = {"a.b.svc"}, .lifetime = absl::Hours(5), .now = now});
  ASSERT_TRUE(made.ok());
  const X509& certificate = *made->own.chain.front();
  EXPECT_EQ(NotAfter(certificate), now + absl::Hours(5));
  EXPECT_EQ(NamesOf(certificate).dns, std::vector<std::string>{"a.b.svc"});
  EXPECT_EQ(X509_check_ca(made->own.chain.front().get()), 0);
  EXPECT_EQ(X509_check_private_key(made->own.chain.front().get(), made->own.key.get()), 1);
}

TEST_F(SelfSignedTest, NamesThatCannotBeAreRefused) {
  EXPECT_FALSE(Make("", {"a"}).ok());
  EXPECT_FALSE(Make(std::string(65, 'x'), {"a"}).ok());
  EXPECT_TRUE(Make(std::string(64, 'x'), {"a"}).ok());
  EXPECT_FALSE(Make("p", {}).ok());
  for (const char* dns : {"", "a,DNS:b", "a b", "é", "a\n", "*"}) {
    EXPECT_FALSE(Make("p", {dns}).ok()) << dns;
  }
}

}  // namespace
}  // namespace outrigger::tls
