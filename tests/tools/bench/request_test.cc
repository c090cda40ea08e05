#include "tools/bench/request.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tools/bench/message_reader.h"

namespace outrigger::bench {
namespace {

TEST(RequestTemplate, HasAHeadLikeThatOfABrowser) {
  RequestTemplate request({});
  const std::string bytes(request.Next());
  EXPECT_GE(bytes.size(), 380u);
  EXPECT_LE(bytes.size(), 440u);
  MessageReader reader(MessageReader::Kind::kRequest);
  EXPECT_EQ(reader.Feed(bytes), static_cast<ptrdiff_t>(bytes.size()));
  EXPECT_TRUE(reader.is_done());
}

TEST(RequestTemplate, SendsABodyOfTheSizeAskedFor) {
  RequestOptions options;
  options.method = "POST";
  options.body_bytes = 1024;
  RequestTemplate request(options);
  std::string body;
  MessageReader reader(MessageReader::Kind::kRequest, &body);
  reader.Feed(request.Next());
  EXPECT_TRUE(reader.is_done());
  EXPECT_EQ(body.size(), 1024u);
}

TEST(RequestTemplate, NeverRepeatsAKey) {
  RequestOptions options;
  options.has_unique_key = true;
  std::set<std::string> keys;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    options.key_seed = seed;
    RequestTemplate request(options);
    for (int i = 0; i < 1000; ++i) {
      const std::string bytes(request.Next());
      const std::string key(request.LastKey());
      EXPECT_NE(bytes.find("Idempotency-Key: " + key + "\r\n"), std::string::npos);
      EXPECT_TRUE(keys.insert(key).second) << key;
    }
  }
}

TEST(RequestTemplate, SendsTheSameKeysForTheSameSeed) {
  RequestOptions options;
  options.has_unique_key = true;
  options.key_seed = 7;
  RequestTemplate first(options);
  RequestTemplate second(options);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(first.Next(), second.Next());
}

}  // namespace
}  // namespace outrigger::bench
