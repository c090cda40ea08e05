#include <gmock/gmock.h>

#include "tests/proxy/tls/support.h"

namespace outrigger::tls {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HandshakeTest : public TlsPairTest {};

TEST_F(HandshakeTest, ConnectsBothEndsAndTellsTheProtocol) {
  Open();
  EXPECT_TRUE(server_->socket.is_handshaking());
  ASSERT_TRUE(Handshake());
  EXPECT_THAT(server_observer_.outcomes, ElementsAre(HandshakeOutcome::kDone));
  EXPECT_THAT(client_observer_.outcomes, ElementsAre(HandshakeOutcome::kDone));
  EXPECT_EQ(server_->socket.secure_session()->protocol(), "http/1.1");
  EXPECT_EQ(client_->socket.secure_session()->protocol(), "http/1.1");
  EXPECT_EQ(server_->socket.secure_session()->peer_identity(), "");
}

TEST_F(HandshakeTest, PrefersHttp2WhereBothOfferIt) {
  server_options_.offers_http2 = client_options_.is_http2 = true;
  Open();
  ASSERT_TRUE(Handshake());
  EXPECT_EQ(server_->socket.secure_session()->protocol(), "h2");
}

TEST_F(HandshakeTest, FailsWithoutACommonProtocol) {
  client_options_.is_http2 = true;
  Open();
  EXPECT_FALSE(Handshake());
  EXPECT_THAT(server_observer_.outcomes, ElementsAre(HandshakeOutcome::kProtocol));
  EXPECT_THAT(client_observer_.outcomes, ElementsAre(HandshakeOutcome::kRefused));
}

TEST_F(HandshakeTest, ComparesTheHostWithTheCertificate) {
  struct Case {
    std::string san;
    std::string server_name;
    std::string host;
    bool is_good;
  };
  const Case cases[] = {
      {"DNS:model.example", "", "model.example", true},
      {"DNS:model.example", "", "Model.Example", true},
      {"DNS:model.example", "", "other.example", false},
      {"DNS:model.example", "model.example", "10.0.0.1", true},
      {"DNS:*.some.example", "", "model.some.example", true},
      {"DNS:m*.some.example", "", "model.some.example", false},
      {"DNS:*.some.example", "", "a.model.some.example", false},
      {"IP:127.0.0.1", "", "127.0.0.1", true},
      {"IP:127.0.0.1", "", "127.0.0.2", false},
      {"IP:::1", "", "::1", true},
      {"DNS:127.0.0.1", "", "127.0.0.1", false},
      // The common name does not count, and without a name nothing does.
      {"URI:spiffe://a.org/x", "", "peer", false},
      {"DNS:localhost", "", "", false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.san + " for " + c.host);
    server_options_.files = Place("server", ca_.Issue({.name = "peer", .san = c.san}));
    client_options_.server_name = c.server_name;
    server_context_ = nullptr;
    Open(0, c.host);
    EXPECT_EQ(Handshake(), c.is_good);
    const HandshakeOutcome outcome = client_observer_.outcomes.back();
    EXPECT_EQ(outcome, c.is_good ? HandshakeOutcome::kDone : HandshakeOutcome::kCertificate);
  }
}

TEST_F(HandshakeTest, RulesTakeThePlaceOfTheHost) {
  server_options_.files = Place("server", ca_.Issue({.san = "URI:spiffe://a.org/sa/model"}));
  client_options_.allowed = {SanRule::Parse("spiffe://a.org/*").value()};
  Open(0, "elsewhere");
  EXPECT_TRUE(Handshake());
  client_options_.allowed = {SanRule::Parse("spiffe://b.org/*").value()};
  server_context_ = nullptr;
  Open(0, "elsewhere");
  EXPECT_FALSE(Handshake());
  EXPECT_EQ(client_observer_.details.back(), "spiffe://a.org/sa/model is not allowed");
}

TEST_F(HandshakeTest, ClientsAreKnownByTheirCertificate) {
  AskForCertificates(ClientAuth::kRequire, {"spiffe://a.org/*"});
  ShowClientCertificate(ca_.Issue({.san = "URI:spiffe://a.org/sa/web"}));
  Open();
  ASSERT_TRUE(Handshake());
  EXPECT_EQ(server_->socket.secure_session()->peer_identity(), "spiffe://a.org/sa/web");
  EXPECT_THAT(std::string(server_->socket.secure_session()->forwarded_certificate()),
              testing::EndsWith(";URI=spiffe://a.org/sa/web"));
}

TEST_F(HandshakeTest, ClientsOfAnotherNameOrCaAreRefusedWithTheReason) {
  const Authority stranger("ca");  // also of the same name
  const struct {
    Issued issued;
    std::string detail;
  } cases[] = {
      {ca_.Issue({.san = "URI:spiffe://b.org/x"}), "spiffe://b.org/x is not allowed"},
      {ca_.Issue({.san = ""}), "no name that is allowed"},
      {ca_.Issue({.san = "URI:spiffe://a.org/x", .ends_in_seconds = -10}), "has expired"},
      {ca_.Issue({.san = "URI:spiffe://a.org/x", .begins_in_seconds = 1000}), "not yet valid"},
      {stranger.Issue({.san = "URI:spiffe://a.org/x"}), "signature failure"},
  };
  AskForCertificates(ClientAuth::kOptional, {"spiffe://a.org/*"});
  for (const auto& c : cases) {
    SCOPED_TRACE(c.detail);
    ShowClientCertificate(c.issued);
    server_context_ = nullptr;
    Open();
    (void)net::RunUntil(loop_, [this] { return server_->has_failed; });
    EXPECT_TRUE(server_->has_failed);
    EXPECT_FALSE(server_->is_secured);
    EXPECT_EQ(server_observer_.outcomes.back(), HandshakeOutcome::kCertificate);
    EXPECT_THAT(server_observer_.details.back(), HasSubstr(c.detail));
    // The client learns of it too, whatever the version made it believe first.
    EXPECT_TRUE(net::RunUntil(loop_, [this] { return client_->has_failed; }));
    EXPECT_TRUE(client_->socket.secure_session()->was_refused() ||
                client_observer_.outcomes.back() == HandshakeOutcome::kRefused);
  }
}

TEST_F(HandshakeTest, OptionalCertificatesMayBeMissing) {
  AskForCertificates(ClientAuth::kOptional, {"spiffe://a.org/*"});
  Open();
  ASSERT_TRUE(Handshake());
  EXPECT_EQ(server_->socket.secure_session()->peer_identity(), "");
}

TEST_F(HandshakeTest, RequiredCertificatesMayNot) {
  AskForCertificates(ClientAuth::kRequire);
  Open();
  EXPECT_TRUE(net::RunUntil(loop_, [this] { return server_->has_failed; }));
  EXPECT_THAT(server_observer_.outcomes, ElementsAre(HandshakeOutcome::kCertificate));
}

TEST_F(HandshakeTest, OpenConnectionsOutliveAReload) {
  Open();
  ASSERT_TRUE(Handshake());
  server_options_.files = Place("server", ca_.Issue({}));
  ASSERT_TRUE(server_context_->LoadIfChanged()->ok());
  client_->unsent = "still here";
  client_->OnWritable();
  EXPECT_TRUE(net::RunUntil(loop_, [this] { return server_->received == "still here"; }));
  Open();
  EXPECT_TRUE(Handshake());
}

// What a reload of the configuration does to a listener or upstream whose TLS is another now.
TEST_F(HandshakeTest, SessionsOutliveTheirContexts) {
  ShowClientCertificate(ca_.Issue({.san = "URI:spiffe://example.org/a"}));
  AskForCertificates(ClientAuth::kRequire, {"spiffe://example.org/*"});
  client_options_.allowed.push_back(SanRule::Parse("dns:localhost").value());
  Open();
  server_context_.reset();
  client_context_.reset();
  ASSERT_TRUE(Handshake());
  client_->unsent = "still here";
  client_->OnWritable();
  EXPECT_TRUE(net::RunUntil(loop_, [this] { return server_->received == "still here"; }));
}

TEST_F(HandshakeTest, GivenUpIsToldOnce) {
  Open();
  server_->socket.Close();
  server_->socket.Close();
  EXPECT_THAT(server_observer_.outcomes, ElementsAre(HandshakeOutcome::kGivenUp));
  EXPECT_TRUE(net::RunUntil(loop_, [this] { return client_->has_failed; }));
  EXPECT_THAT(client_observer_.outcomes, ElementsAre(HandshakeOutcome::kPeerClosed));
}

TEST_F(HandshakeTest, NothingMayBeSentOrReceivedBeforeItIsDone) {
  Open();
  char byte = 0;
  EXPECT_EQ(server_->socket.Receive(&byte, 1).status, net::IoStatus::kAgain);
  EXPECT_EQ(server_->socket.Send("x").status, net::IoStatus::kAgain);
  ASSERT_TRUE(Handshake());
  EXPECT_EQ(server_->socket.Send("x").status, net::IoStatus::kOk);
}

}  // namespace
}  // namespace outrigger::tls
