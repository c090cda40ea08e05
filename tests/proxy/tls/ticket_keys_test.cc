#include "proxy/tls/ticket_keys.h"

#include <gtest/gtest.h>

namespace outrigger::tls {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

TEST(TicketKeys, AreReplacedAfterTheirLifetimeAndTakenForAnother) {
  TicketKeys keys;
  const auto first = keys.Current(kStart);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(keys.Current(kStart + TicketKeys::kLifetime - absl::Seconds(1))->name, first->name);
  EXPECT_TRUE(keys.Find(first->name.data(), kStart).has_value());

  const absl::Time later = kStart + TicketKeys::kLifetime;
  const auto second = keys.Current(later);
  EXPECT_NE(second->name, first->name);
  EXPECT_NE(second->cipher, first->cipher);
  EXPECT_NE(second->mac, first->mac);
  EXPECT_EQ(keys.Find(first->name.data(), later)->cipher, first->cipher);

  EXPECT_FALSE(keys.Find(first->name.data(), kStart + 2 * TicketKeys::kLifetime).has_value());
  EXPECT_TRUE(keys.Find(second->name.data(), kStart + 2 * TicketKeys::kLifetime).has_value());
}

TEST(TicketKeys, OfAnotherSetAreUnknown) {
  TicketKeys keys;
  TicketKeys others;
  const auto other = others.Current(kStart);
  EXPECT_FALSE(keys.Find(other->name.data(), kStart).has_value());
  ASSERT_TRUE(keys.Current(kStart).has_value());
  EXPECT_FALSE(keys.Find(other->name.data(), kStart).has_value());
}

}  // namespace
}  // namespace outrigger::tls
