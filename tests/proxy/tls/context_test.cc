#include "proxy/tls/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <filesystem>

#include "proxy/tls/server_context.h"
#include "tests/proxy/tls/authority.h"

namespace outrigger::tls {
namespace {

using testing::HasSubstr;

class ContextTest : public testing::Test {
 protected:
  ContextTest() { Publish(ca_.Issue({})); }

  void Publish(const Issued& issued) {
    folder_.Write("tls.crt", issued.cert);
    folder_.Write("tls.key", issued.key);
  }
  ServerOptions Options() {
    ServerOptions options;
    options.files = {.cert = folder_.Path("tls.crt"), .key = folder_.Path("tls.key")};
    return options;
  }
  static std::string Message(const absl::Status& status) { return std::string(status.message()); }

  const Authority ca_{"ca"};
  const Folder folder_;
};

TEST_F(ContextTest, LoadsAndLooksAtItsFilesOnlyWhenTheyChange) {
  ServerContext context(Options());
  EXPECT_FALSE(context.not_after().has_value());
  ASSERT_TRUE(context.Load().ok());
  const absl::Time before = context.not_after().value();
  EXPECT_FALSE(context.LoadIfChanged().has_value());
  Publish(ca_.Issue({.ends_in_seconds = 500}));
  const std::optional<absl::Status> loaded = context.LoadIfChanged();
  ASSERT_TRUE(loaded.has_value());
  EXPECT_TRUE(loaded->ok()) << *loaded;
  EXPECT_LT(context.not_after().value(), before);
  EXPECT_FALSE(context.LoadIfChanged().has_value());
}

TEST_F(ContextTest, KeepsWhatItHasWhenTheNewFilesAreBad) {
  ServerContext context(Options());
  ASSERT_TRUE(context.Load().ok());
  const absl::Time before = context.not_after().value();
  const Issued other = ca_.Issue({.ends_in_seconds = 500});

  folder_.Write("tls.crt", other.cert);  // the key is still that of the first
  EXPECT_THAT(Message(context.LoadIfChanged().value()), HasSubstr("is not the key of"));
  EXPECT_EQ(context.not_after(), before);
  folder_.Write("tls.crt", "");
  EXPECT_FALSE(context.LoadIfChanged()->ok());
  Publish(ca_.Issue({.ends_in_seconds = -5}));
  EXPECT_THAT(Message(context.LoadIfChanged().value()), HasSubstr("expired at"));
  std::filesystem::remove(folder_.Path("tls.key"));
  EXPECT_THAT(Message(context.LoadIfChanged().value()), HasSubstr("cannot read"));
  EXPECT_EQ(context.not_after(), before);

  Publish(other);
  EXPECT_TRUE(context.LoadIfChanged()->ok());
  EXPECT_NE(context.not_after(), before);
}

TEST_F(ContextTest, SeesTheSwapOfALink) {
  std::filesystem::create_directory(folder_.Path("one"));
  std::filesystem::create_directory(folder_.Path("two"));
  for (const char* name : {"one", "two"}) {
    const Issued issued = ca_.Issue({});
    folder_.Write(std::string(name) + "/tls.crt", issued.cert);
    folder_.Write(std::string(name) + "/tls.key", issued.key);
  }
  std::filesystem::create_symlink("one", folder_.Path("..data"));
  ServerOptions options;
  options.files = {.cert = folder_.Path("..data/tls.crt"), .key = folder_.Path("..data/tls.key")};
  ServerContext context(options);
  ASSERT_TRUE(context.Load().ok());
  EXPECT_FALSE(context.LoadIfChanged().has_value());
  std::filesystem::create_symlink("two", folder_.Path("..new"));
  std::filesystem::rename(folder_.Path("..new"), folder_.Path("..data"));
  ASSERT_TRUE(context.LoadIfChanged().has_value());
}

TEST_F(ContextTest, StartsWithAnExpiredCertificateWhenThereIsNoOther) {
  Publish(ca_.Issue({.ends_in_seconds = -5}));
  ServerContext context(Options());
  EXPECT_TRUE(context.Load().ok());
}

TEST_F(ContextTest, WeakKeysAreRefused) {
  // Level 2 asks for 2048 bits of RSA.
  PkeyPtr key(EVP_RSA_gen(1024));
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 1000);
  X509_set_pubkey(certificate.get(), key.get());
  X509_sign(certificate.get(), key.get(), EVP_sha256());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate.get());
  PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(bio.get(), &data));
  const std::string both(data, size);
  Publish({both, both});
  EXPECT_FALSE(ServerContext(Options()).Load().ok());
}

}  // namespace
}  // namespace outrigger::tls
