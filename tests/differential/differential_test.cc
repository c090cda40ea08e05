// Our HTTP/1 parser beside llhttp 9: on hand-made messages, on the corpora of the fuzz targets, and
// on messages made of them by random changes. See compare.h for what must hold.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/random.h"
#include "tests/differential/compare.h"

namespace outrigger::http1 {
namespace {

using namespace std::literals;

const std::filesystem::path kCorpora =
    std::filesystem::path(OUTRIGGER_SOURCE_DIR) / "tests" / "fuzz" / "corpus";

constexpr std::string_view kRequests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a?b=c HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX: \t y \r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;a=\"b\\\"c\";d=e;f\r\nhello\r\n0;x\r\nX-Sum: 1\r\n\r\n",
    "GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "PUT / HTTP/1.0\r\nContent-Length: 0005\r\nConnection: keep-alive\r\n\r\nhello",
};
constexpr std::string_view kResponses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\n\r\nhello",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
};
// What is put into messages, in place of something or beside it.
constexpr std::string_view kPieces[] = {
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0"sv,
    ":",
    ";",
    "=",
    "\"",
    "\\",
    ",",
    "0",
    "5",
    "00000000000000005",
    "ffffffffffffffff",
    "18446744073709551616",
    "0x5",
    "+5",
    "-5",
    "\x0b",
    "\x0c",
    "\x7f",
    "\x80",
    "\xff",
    "_",
    "chunked",
    "identity",
    "gzip",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding:\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length:\r\n",
    "Connection: close\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Host: b\r\n",
    "Expect: x\r\n",
    "X: y\r\n z\r\n",
    "X : y\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "HTTP/0.9",
    "HTTP/2.0",
    "PRI",
    "QUERY",
    "http://b",
    "//",
    "%00",
    "#",
    "?",
    "@",
    "[",
    "]",
    "1_0",
    "\r\n\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "101",
    "204",
    "304",
    "199",
    "600",
};

std::vector<std::string> Seeds(Side side) {
  std::vector<std::string> seeds;
  if (side == Side::kRequest) {
    seeds.assign(std::begin(kRequests), std::end(kRequests));
  } else {
    seeds.assign(std::begin(kResponses), std::end(kResponses));
  }
  const std::string chunked_head =
      side == Side::kRequest ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                             : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string_view corpus : {"http1_head", "chunked"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kCorpora / corpus)) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      seeds.push_back(corpus == "chunked" ? chunked_head + text : text);
    }
  }
  return seeds;
}

std::string Change(std::string text, Random& random) {
  for (uint64_t changes = 1 + random.Below(4); changes > 0; --changes) {
    const size_t at = random.Below(text.size() + 1);
    const size_t gone =
        std::min<size_t>(random.Below(3) == 0 ? random.Below(8) : 0, text.size() - at);
    switch (random.Below(4)) {
      case 0:
        text.erase(at, gone + 1);
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(random.Below(256)));
        break;
      default:
        text.replace(at, gone, kPieces[random.Below(std::size(kPieces))]);
        break;
    }
  }
  return text;
}

void Check(Side side, std::string_view bytes) {
  const std::string problem = Compare(side, bytes);
  ASSERT_EQ(problem, "") << (side == Side::kRequest ? "request " : "response ")
                         << testing::PrintToString(std::string(bytes));
}

TEST(Differential, SeedsAreJudgedAlike) {
  size_t complete = 0;
  for (const Side side : {Side::kRequest, Side::kResponse}) {
    for (const std::string& seed : Seeds(side)) {
      ASSERT_NO_FATAL_FAILURE(Check(side, seed));
      const Reading ours = ReadWithOurs(side, seed);
      complete += ours.verdict == Verdict::kComplete || ours.verdict == Verdict::kUntilClose;
    }
  }
  EXPECT_GT(complete, 15U);  // the comparison says something
}

// For longer, or from elsewhere: OUTRIGGER_DIFFERENTIAL_SECONDS, OUTRIGGER_DIFFERENTIAL_SEED.
TEST(Differential, WhatLlhttpRefusesIsRefused) {
  const char* seconds_text = std::getenv("OUTRIGGER_DIFFERENTIAL_SECONDS");
  const char* seed_text = std::getenv("OUTRIGGER_DIFFERENTIAL_SEED");
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::seconds(seconds_text != nullptr ? std::atoi(seconds_text) : 0);
  Random random(seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : 1);
  constexpr size_t kAtLeast = 200'000;
  size_t count = 0;
  size_t accepted = 0;
  size_t refused_by_ours_alone = 0;
  const std::vector<std::string> requests = Seeds(Side::kRequest);
  const std::vector<std::string> responses = Seeds(Side::kResponse);
  while (count < kAtLeast || std::chrono::steady_clock::now() < until) {
    const Side side = count++ % 2 == 0 ? Side::kRequest : Side::kResponse;
    const std::vector<std::string>& seeds = side == Side::kRequest ? requests : responses;
    const std::string text = Change(seeds[random.Below(seeds.size())], random);
    ASSERT_NO_FATAL_FAILURE(Check(side, text));
    const Reading ours = ReadWithOurs(side, text);
    accepted += ours.verdict == Verdict::kComplete;
    refused_by_ours_alone += ours.verdict == Verdict::kRefused &&
                             ReadWithLlhttp(side, text).verdict != Verdict::kRefused;
  }
  std::printf("  %zu messages: %zu complete, %zu refused by ours alone\n", count, accepted,
              refused_by_ours_alone);
  EXPECT_GT(accepted, count / 50);
}

}  // namespace
}  // namespace outrigger::http1
