#include "proxy/http1/chunked_decoder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/random.h"
#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using Status = ChunkedDecoder::Status;
using namespace std::string_view_literals;

struct Good {
  std::string_view bytes;
  std::string_view data;
  std::string_view trailers = {};
};

constexpr Good kGood[] = {
    {"0\r\n\r\n", ""},
    {"000\r\n\r\n", ""},
    {"5\r\nhello\r\n0\r\n\r\n", "hello"},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"},
    {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
    {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
    {"000000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
    {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"},
    {"3\r\n0\r\n\r\n0\r\n\r\n", "0\r\n"},
    // RFC 9112, 7.1.1: extensions.
    {"1;a\r\nx\r\n0;b\r\n\r\n", "x"},
    {"1;a=b\r\nx\r\n0\r\n\r\n", "x"},
    {"1;a=b;c;d=\"e\"\r\nx\r\n0\r\n\r\n", "x"},
    {"1;a=\"\"\r\nx\r\n0\r\n\r\n", "x"},
    {"1;a=\"; \\\" \\\\ \t=\xfc\"\r\nx\r\n0\r\n\r\n", "x"},
    // 7.1.2: trailers.
    {"0\r\nA: b\r\n\r\n", "", "A: b\n"},
    {"1\r\nx\r\n0\r\nA:b\r\nServer-Timing: \t c \r\nA: d\r\n\r\n", "x",
     "A: b\nServer-Timing: c\nA: d\n"},
    {"0\r\nEmpty:\r\n\r\n", "", "Empty: \n"},
};

TEST(ChunkedDecoder, FindsDataTrailersAndEnd) {
  for (const Good& c : kGood) {
    const std::string bytes = std::string(c.bytes) + "GET / HTTP/1.1\r\n";
    const Decoded decoded = Decode(bytes);
    EXPECT_EQ(decoded.status, Status::kDone) << c.bytes << decoded.error;
    EXPECT_EQ(decoded.consumed, c.bytes.size()) << c.bytes;
    EXPECT_EQ(decoded.data, c.data) << c.bytes;
    EXPECT_EQ(decoded.trailers, c.trailers) << c.bytes;
  }
}

constexpr std::string_view kBad[] = {
    // Sizes.
    "\r\n",
    "x\r\n",
    "g\r\n",
    "+5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    " 5\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "5\t\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5h\r\nhello\r\n",
    "5,\r\nhello\r\n",
    "5.0\r\nhello\r\n",
    "\0"
    "5\r\nhello\r\n"sv,
    "5\0\r\nhello\r\n"sv,
    "00000000000000005\r\nhello\r\n",
    "8000000000000000\r\nhello\r\n",
    "ffffffffffffffff\r\nhello\r\n",
    "fffffffffffffffff\r\nhello\r\n",
    "10000000000000005\r\nhello\r\n",
    // Line ends.
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello!\r\n0\r\n\r\n",
    "5\r\nhello\r\n\r\n0\r\n\r\n",
    "4\r\nhello\r\n0\r\n\r\n",
    "0\n\n",
    "0\r\n\n",
    "0\n\r\n",
    "0\r\r\n",
    // Extensions.
    "5;\r\nhello\r\n",
    "5;;a\r\nhello\r\n",
    "5;=b\r\nhello\r\n",
    "5;a=\r\nhello\r\n",
    "5;a=;b\r\nhello\r\n",
    "5;a=b=c\r\nhello\r\n",
    "5; a\r\nhello\r\n",
    "5 ;a\r\nhello\r\n",
    "5;a =b\r\nhello\r\n",
    "5;a= b\r\nhello\r\n",
    "5;a=b \r\nhello\r\n",
    "5;a\nhello\r\n",
    "5;a=b\nhello\r\n",
    "5;a\rX\r\nhello\r\n",
    "5;a=\"b\r\nhello\r\n",
    "5;a=\"b\nc\"\r\nhello\r\n",
    "5;a=\"\\\r\n\"\r\nhello\r\n",
    "5;a=\"b\"c\r\nhello\r\n",
    "5;a=b\"c\"\r\nhello\r\n",
    "5;\"a\"\r\nhello\r\n",
    "5;a(b)\r\nhello\r\n",
    "5;a\0\r\nhello\r\n"sv,
    "5;a=\"\0\"\r\nhello\r\n"sv,
    "5;\xc3\xa4\r\nhello\r\n",
    // Trailers.
    "0\r\nA: b\n\r\n",
    "0\r\nA: b\n",
    "0\r\nA: b\r\n\n",
    "0\r\nA : b\r\n\r\n",
    "0\r\n A: b\r\n\r\n",
    "0\r\nA: b\r\n c\r\n\r\n",
    "0\r\n: b\r\n\r\n",
    "0\r\nA\r\n\r\n",
    "0\r\nA: b\0\r\n\r\n"sv,
    "0\r\nA: b\rc\r\n\r\n",
    "0\r\n\rA: b\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\nHost: a\r\n\r\n",
    "0\r\nconnection: close\r\n\r\n",
    "0\r\nAuthorization: x\r\n\r\n",
    "0\r\nA: b\r\nSet-Cookie: x\r\n\r\n",
    "0\r\nX-Forwarded-For: x\r\n\r\n",
    "0\r\nx-outrigger-attempt: 1\r\n\r\n",
    "0\r\nGET / HTTP/1.1\r\n\r\n",
};

TEST(ChunkedDecoder, EverythingTheGrammarDoesNotAllowIsRefused) {
  for (std::string_view bytes : kBad) {
    const Decoded decoded = Decode(bytes);
    EXPECT_EQ(decoded.status, Status::kError) << testing::PrintToString(bytes);
    EXPECT_FALSE(decoded.error.empty()) << testing::PrintToString(bytes);
  }
}

TEST(ChunkedDecoder, ResultDoesNotDependOnHowTheBytesArrive) {
  std::vector<std::string> messages;
  for (const Good& c : kGood) messages.push_back(std::string(c.bytes) + "rest");
  for (std::string_view bytes : kBad) messages.emplace_back(bytes);
  for (const std::string& message : messages) {
    const std::string whole = Decode(message).text();
    EXPECT_EQ(Decode(message, ByteByByte()).text(), whole) << testing::PrintToString(message);
    for (size_t at = 0; at <= message.size(); ++at) {
      EXPECT_EQ(Decode(message, At(at)).text(), whole)
          << testing::PrintToString(message) << " split at " << at;
    }
  }
}

TEST(ChunkedDecoder, EveryPrefixOfAGoodBodyIsIncomplete) {
  for (const Good& c : kGood) {
    for (size_t length = 0; length < c.bytes.size(); ++length) {
      EXPECT_EQ(Decode(c.bytes.substr(0, length)).status, Status::kNeedMore)
          << c.bytes << " cut at " << length;
    }
  }
}

TEST(ChunkedDecoder, LargestSizeIsTaken) {
  EXPECT_EQ(Decode("7fffffffffffffff\r\nhello").data, "hello");
}

TEST(ChunkedDecoder, DataIsPassedInPlace) {
  constexpr std::string_view kInput = "5\r\nhello\r\n0\r\n\r\n";
  ChunkedDecoder decoder;
  const ChunkedDecoder::Step step = decoder.Next(kInput);
  EXPECT_EQ(step.status, Status::kData);
  EXPECT_EQ(step.data.data(), kInput.data() + 3);
  EXPECT_EQ(step.consumed, 8u);
}

TEST(ChunkedDecoder, EndAndErrorStayUntilReset) {
  ChunkedDecoder decoder;
  EXPECT_EQ(decoder.Next("0\r\nA: b\r\n\r\n").status, Status::kDone);
  EXPECT_EQ(decoder.Next("5\r\nhello").status, Status::kDone);
  EXPECT_EQ(decoder.Next("5\r\nhello").consumed, 0u);
  EXPECT_TRUE(decoder.is_done());
  decoder.Reset();
  EXPECT_FALSE(decoder.is_done());
  EXPECT_TRUE(decoder.trailers().empty());
  EXPECT_EQ(decoder.Next("x").status, Status::kError);
  EXPECT_EQ(decoder.Next("0\r\n\r\n").status, Status::kError);
  decoder.Reset();
  EXPECT_EQ(decoder.error(), "");
  EXPECT_EQ(decoder.Next("0\r\n\r\n").status, Status::kDone);
}

TEST(ChunkedDecoder, ExtensionsAreBounded) {
  const auto chunk = [](size_t data_bytes, size_t extension_bytes) {
    return fmt::format("{:x};{}\r\n{}\r\n", data_bytes, std::string(extension_bytes - 1, 'e'),
                       std::string(data_bytes, 'd'));
  };
  constexpr size_t kMost = ChunkedDecoder::kMaxExtensionBytesPerChunk;
  EXPECT_EQ(Decode(chunk(1, kMost - 1)).status, Status::kNeedMore);
  EXPECT_EQ(Decode(chunk(1, kMost + 1)).status, Status::kError);
  // Many of them without much data.
  std::string bytes;
  for (int i = 0; i < 20; ++i) bytes += chunk(1, 1000);
  EXPECT_EQ(Decode(bytes).error, "too many chunk extensions");
  EXPECT_EQ(Decode(bytes, ByteByByte()).text(), Decode(bytes).text());
  // They are counted once, not again with every chunk that has none.
  bytes = chunk(1, 1000);
  for (int i = 0; i < 20; ++i) bytes += "1\r\nd\r\n";
  EXPECT_EQ(Decode(bytes).status, Status::kNeedMore);
  // Signed chunks carry one each, for as long as the body lasts.
  bytes.clear();
  for (int i = 0; i < 1000; ++i) bytes += chunk(1000, 85);
  EXPECT_EQ(Decode(bytes).status, Status::kNeedMore);
}

TEST(ChunkedDecoder, TrailersAreBounded) {
  const std::string large = "0\r\nA: " + std::string(ChunkedDecoder::kMaxTrailerBytes, 'x');
  EXPECT_EQ(Decode(large).error, "trailers are too large");
  EXPECT_EQ(Decode(large, ByteByByte()).text(), Decode(large).text());
  std::string fitting = "A: ";
  fitting += std::string(ChunkedDecoder::kMaxTrailerBytes - fitting.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_EQ(Decode("0\r\n" + fitting).status, Status::kDone);
  std::string many = "0\r\n";
  for (size_t i = 0; i <= ChunkedDecoder::kMaxTrailerFields; ++i) many += "A: b\r\n";
  EXPECT_EQ(Decode(many + "\r\n").error, "too many trailers");
}

TEST(ChunkedDecoder, GivesBackWhatWasEncoded) {
  constexpr uint64_t kSeed = 9112;
  Random random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    std::string data;
    for (uint64_t chunks = random.Below(8); chunks > 0; --chunks) {
      std::string piece;
      for (uint64_t left = 1 + random.Below(40); left > 0; --left) {
        piece += static_cast<char>(random.Next());
      }
      bytes += random.Below(2) == 0 ? fmt::format("{:x}", piece.size())
                                    : fmt::format("{:06X};n=\"v\"", piece.size());
      bytes += "\r\n" + piece + "\r\n";
      data += piece;
    }
    bytes += "0\r\n";
    std::string trailers;
    for (uint64_t i = random.Below(3); i > 0; --i) {
      bytes += "T: v\r\n";
      trailers += "T: v\n";
    }
    bytes += "\r\n";
    const size_t length = bytes.size();
    bytes += "next";
    const auto seed = random.Next();
    Random splits(seed);
    const Decoded decoded = Decode(bytes, [&](size_t) { return 1 + splits.Below(12); });
    SCOPED_TRACE(fmt::format("seed {}, round {}", kSeed, round));
    ASSERT_EQ(decoded.status, Status::kDone) << decoded.error;
    ASSERT_EQ(decoded.data, data);
    ASSERT_EQ(decoded.trailers, trailers);
    ASSERT_EQ(decoded.consumed, length);
  }
}

}  // namespace
}  // namespace outrigger::http1
