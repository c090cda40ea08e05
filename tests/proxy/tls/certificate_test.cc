#include "proxy/tls/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/proxy/tls/authority.h"

namespace outrigger::tls {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(Certificates, AreReadWithTheirChain) {
  const Authority ca("ca");
  const Folder folder;
  const Issued issued = ca.Issue({});
  const auto read =
      ReadCertificates(folder.Write("tls.crt", "a comment\n" + issued.cert + ca.cert()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size(), 2);
  EXPECT_TRUE(ReadPrivateKey(folder.Write("tls.key", issued.key)).ok());
}

TEST(Certificates, ThatCannotBeReadAreNamed) {
  const Authority ca("ca");
  const Folder folder;
  const std::string missing = folder.Path("missing");
  EXPECT_THAT(Message(ReadCertificates(missing).status()),
              HasSubstr("cannot read " + missing + ": No such file"));
  EXPECT_THAT(Message(ReadCertificates(folder.Write("empty", "")).status()),
              HasSubstr("has no certificate"));
  EXPECT_THAT(Message(ReadCertificates(folder.Write("key", ca.Issue({}).key)).status()),
              HasSubstr("has no certificate"));
  std::string broken = ca.cert();
  broken.erase(broken.size() / 2, 10);
  EXPECT_THAT(Message(ReadCertificates(folder.Write("broken", broken)).status()),
              HasSubstr("broken has a broken certificate"));
  // The second of two counts as well.
  EXPECT_FALSE(ReadCertificates(folder.Write("half", ca.cert() + broken)).ok());
  EXPECT_THAT(
      Message(ReadCertificates(folder.Write("large", std::string((1 << 20) + 1, 'x'))).status()),
      HasSubstr("larger than 1 MiB"));
  EXPECT_THAT(Message(ReadPrivateKey(folder.Write("cert", ca.cert())).status()),
              HasSubstr("has no private key"));
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(Certificates, NamesArePlainText) {
  const Authority ca("ca");
  const auto names_of = [&ca](const std::string& san) {
    return NamesOf(*ParseCertificate(ca.Issue({.san = san}).cert));
  };
  const SubjectNames names =
      names_of("URI:spiffe://a.org/sa/x,DNS:web.example,IP:127.0.0.1,DNS:other");
  EXPECT_THAT(names.uris, ElementsAre("spiffe://a.org/sa/x"));
  EXPECT_THAT(names.dns, ElementsAre("web.example", "other"));
  EXPECT_TRUE(names_of("").uris.empty());
  // What could forge a header field or a log line is no name.
  EXPECT_TRUE(names_of("URI:spiffe://a.org/x\"y").uris.empty());
  EXPECT_TRUE(names_of("URI:spiffe://a.org/x y").uris.empty());
  EXPECT_TRUE(names_of("URI:spiffe://a.org/x;Hash=1").uris.empty());
}

TEST(Certificates, TimesAreUnderstood) {
  const Authority ca("ca");
  const X509Ptr good = ParseCertificate(ca.Issue({}).cert);
  EXPECT_TRUE(IsValidNow(*good));
  EXPECT_LT(absl::AbsDuration(NotAfter(*good) - absl::Now() - absl::Hours(24)), absl::Minutes(1));
  EXPECT_FALSE(IsValidNow(*ParseCertificate(ca.Issue({.ends_in_seconds = -10}).cert)));
  EXPECT_FALSE(IsValidNow(*ParseCertificate(ca.Issue({.begins_in_seconds = 1000}).cert)));
}

TEST(Certificates, ForwardedElementHasHashAndNames) {
  const Authority ca("ca");
  const X509Ptr certificate =
      ParseCertificate(ca.Issue({.san = "URI:spiffe://a.org/x,DNS:web.example"}).cert);
  EXPECT_THAT(ForwardedElement(*certificate, NamesOf(*certificate)),
              testing::MatchesRegex("Hash=[0-9a-f]+;URI=spiffe://a.org/x;DNS=web.example"));
}

}  // namespace
}  // namespace outrigger::tls
