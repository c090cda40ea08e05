// Properties over random messages, well formed and broken.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/random.h"
#include "proxy/http1/serializer.h"
#include "tests/proxy/http1/invariants.h"
#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

constexpr uint64_t kSeed = 19980401;

std::string RandomText(Random& random, std::string_view alphabet, size_t min, size_t max) {
  std::string text;
  for (uint64_t left = min + random.Below(max - min + 1); left > 0; --left) {
    text += alphabet[random.Below(alphabet.size())];
  }
  return text;
}

std::string RandomName(Random& random) {
  constexpr std::string_view kKnown[] = {"Accept",      "authorization", "Cookie", "x-request-id",
                                         "Traceparent", "Content-Type",  "Via"};
  if (random.Below(3) == 0) return std::string(kKnown[random.Below(std::size(kKnown))]);
  return "X" + RandomText(random, "abcXYZ019-_.!~|'", 0, 30);
}

std::string RandomValue(Random& random) {
  std::string value = RandomText(random, "abc XYZ,;=\"\t/:\xc3\xa4\x80\xff", 0, 60);
  return std::string(http::TrimOws(value));
}

BodyFraming RandomFraming(Random& random) {
  switch (random.Below(3)) {
    case 0:
      return {};
    case 1:
      return {BodyKind::kLength, random.Next() >> (1 + random.Below(63))};
    default:
      return {BodyKind::kChunked, 0};
  }
}

TEST(RoundTrip, WhatIsWrittenIsReadAsItWas) {
  Random random(kSeed);
  for (int round = 0; round < 3000; ++round) {
    SCOPED_TRACE(fmt::format("seed {}, round {}", kSeed, round));
    Arena arena;
    http::HeaderList headers;
    headers.Add("Host", arena.Copy(RandomText(random, "abc.-019", 1, 30)));
    for (uint64_t left = random.Below(20); left > 0; --left) {
      headers.Add(arena.Copy(RandomName(random)), arena.Copy(RandomValue(random)));
    }
    const std::string method = RandomText(random, "GETPOSX-", 1, 32);
    const std::string path = "/" + RandomText(random, "abc/.%20;=&", 0, 80);
    const std::string query = random.Below(2) == 0 ? "" : "?" + RandomText(random, "ab=&?/", 0, 80);
    if (method == "TRACE" || method == "CONNECT") continue;
    const BodyFraming body = RandomFraming(random);

    const RequestLine line{method, path, query};
    std::string buffer(MaxHeadBytes(line, headers, {}), '\0');
    ByteSink sink{buffer.data(), buffer.data() + buffer.size()};
    ASSERT_EQ(WriteRequestHead(sink, line, headers, body, {}), WriteResult::kOk);
    const std::string_view written(buffer.data(), static_cast<size_t>(sink.at - buffer.data()));

    HeadProgress progress;
    RequestHead head;
    http::HeaderList parsed;
    const HeadResult result = ParseRequestHead(written, progress, {}, head, parsed);
    ASSERT_EQ(result.status, HeadStatus::kDone) << result.message << "\n" << written;
    ASSERT_EQ(result.consumed, written.size());
    ASSERT_EQ(head.method_text, method);
    ASSERT_EQ(head.path, path);
    ASSERT_EQ(head.query, query);
    RequestFraming framing;
    ASSERT_TRUE(GetRequestFraming(head, parsed, framing).ok());
    ASSERT_EQ(framing.body, body);
    parsed.Remove(http::HeaderId::kContentLength);
    parsed.Remove(http::HeaderId::kTransferEncoding);
    ASSERT_EQ(Print(parsed), Print(headers));
  }
}

// One to four bytes of a good message replaced, removed or repeated, mostly by those that matter.
std::string Damage(Random& random, std::string message) {
  constexpr std::string_view kBytes("\r\n\0\t :;,=\"0159afGx\x7f\x80", 21);
  for (uint64_t left = 1 + random.Below(4); left > 0; --left) {
    const size_t at = random.Below(message.size());
    const char byte = kBytes[random.Below(kBytes.size())];
    switch (random.Below(4)) {
      case 0:
        message[at] = byte;
        break;
      case 1:
        message.insert(at, 1, byte);
        break;
      case 2:
        if (message.size() > 1) message.erase(at, 1);
        break;
      default: {
        const size_t other = random.Below(message.size());
        message.insert(at, message.substr(other, random.Below(30)));
        break;
      }
    }
  }
  return message;
}

TEST(RoundTrip, InvariantsHoldForDamagedHeads) {
  const std::string messages[] = {
      "POST /v1/chat?x HTTP/1.1\r\nHost: a:80\r\nConnection: X-A, TE\r\nTE: trailers\r\nX-A: 1\r\n"
      "Content-Length: 10\r\n\r\n",
      "GET http://a/b?c HTTP/1.1\r\nHost: A\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
      "\r\nOPTIONS * HTTP/1.0\r\nKeep-Alive: 5\r\nConnection: keep-alive\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close, X-B\r\nX-B: c\r\n\r\n",
      "HTTP/1.1 304\r\nContent-Length: 5\r\nUpgrade: h2c\r\n\r\n",
  };
  Random random(kSeed);
  for (int round = 0; round < 20000; ++round) {
    const std::string message = Damage(random, messages[random.Below(std::size(messages))]);
    ASSERT_EQ(CheckHeadInvariants(message, random.Next()), "")
        << "seed " << kSeed << ", round " << round << ": " << testing::PrintToString(message);
  }
}

TEST(RoundTrip, InvariantsHoldForDamagedChunks) {
  const std::string messages[] = {
      "5\r\nhello\r\n1;a=b\r\nx\r\n0\r\n\r\n",
      "a;q=\"x\\\"y\"\r\n0123456789\r\n000\r\nA: b\r\nC:d\r\n\r\n",
      "0\r\nServer-Timing: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
  };
  Random random(kSeed);
  for (int round = 0; round < 20000; ++round) {
    const std::string message = Damage(random, messages[random.Below(std::size(messages))]);
    ASSERT_EQ(CheckChunkedInvariants(message, random.Next()), "")
        << "seed " << kSeed << ", round " << round << ": " << testing::PrintToString(message);
  }
}

}  // namespace
}  // namespace outrigger::http1
