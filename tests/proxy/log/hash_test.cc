#include "proxy/log/hash.h"

#include <gtest/gtest.h>

namespace outrigger::log {
namespace {

// The digests are those of FIPS 180-2's examples.
TEST(HashForLog, IsTheBeginningOfSha256) {
  EXPECT_EQ(HashForLog("abc"), "ba7816bf8f01cfea");
  EXPECT_EQ(HashForLog(""), "e3b0c44298fc1c14");
}

}  // namespace
}  // namespace outrigger::log
