#include "filters/idempotency/store_key.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace outrigger::idempotency {
namespace {

std::string Prefixed(const std::string& text) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(text.size() >> (8 * i)));
  return out + text;
}

// The same by OpenSSL's own HMAC.
Sha256::Value Reference(const std::string& secret, const std::string& input) {
  Sha256::Value value;
  unsigned size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(input.data()), input.size(), value.data(), &size);
  EXPECT_EQ(size, value.size());
  return value;
}

TEST(StoreKeyMaker, IsHmacSha256OverPrefixedTenantAndKey) {
  for (size_t secret_bytes : {0, 1, 32, 63, 64, 65, 200}) {
    const std::string secret(secret_bytes, 's');
    const StoreKeyMaker maker(secret);
    for (size_t key_bytes : {1, 36, 55, 64, 255}) {
      const std::string tenant = "tenant";
      const std::string key(key_bytes, 'k');
      EXPECT_EQ(maker.Make(tenant, key).bytes, Reference(secret, Prefixed(tenant) + Prefixed(key)));
    }
  }
}

TEST(StoreKeyMaker, KeepsTenantsApart) {
  const StoreKeyMaker maker("secret");
  EXPECT_NE(maker.Make("a", "bc"), maker.Make("ab", "c"));
  EXPECT_NE(maker.Make("a", "k"), maker.Make("b", "k"));
  EXPECT_EQ(maker.Make("a", "k"), maker.Make("a", "k"));
}

TEST(StoreKeyMaker, HasAnotherSecretInEveryProcess) {
  EXPECT_NE(StoreKeyMaker::WithRandomSecret().Make("t", "k"),
            StoreKeyMaker::WithRandomSecret().Make("t", "k"));
}

TEST(StoreKeyMaker, ServesSeveralThreads) {
  const StoreKeyMaker maker("secret");
  const StoreKey expected = maker.Make("t", "k");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) ASSERT_EQ(maker.Make("t", "k"), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(StoreKey, ShowsItsFirstBytes) {
  StoreKey key;
  key.bytes = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xff};
  EXPECT_EQ(key.Hash(), "0123456789abcdef");
  EXPECT_EQ(ParseHash(key.Hash()), key.prefix());
  EXPECT_EQ(ParseHash("0123456789ABCDEF"), key.prefix());
}

TEST(ParseHash, RefusesWhatIsNoHash) {
  for (const char* text :
       {"", "0123", "0123456789abcdeg", "0123456789abcdef0", "0x23456789abcdef"}) {
    EXPECT_EQ(ParseHash(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace outrigger::idempotency
