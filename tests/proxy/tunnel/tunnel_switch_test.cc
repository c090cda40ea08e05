// The promises of invariants.h over mutations of handshakes and their answers.

#include <gtest/gtest.h>

#include <string>

#include "proxy/base/random.h"
#include "proxy/tunnel/upgrade.h"
#include "tests/proxy/tunnel/invariants.h"

namespace outrigger::tunnel {
namespace {

TEST(TunnelSwitch, KeepsItsPromisesUnderMutation) {
  const std::string seeds[] = {
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
      "HTTP2-Settings: AAMAAABk\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
  };
  const std::string words[] = {"h2c",
                               "websocket",
                               "Upgrade: ",
                               "\r\n",
                               ",",
                               " ",
                               "Connection: ",
                               "upgrade",
                               "POST ",
                               "1.0",
                               "Content-Length: 5",
                               "Transfer-Encoding: chunked",
                               "\x88\x02",
                               "\t",
                               "echo/2",
                               "sec-websocket-version"};
  constexpr uint64_t kSeed = 441;
  Random random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seeds[random.Below(std::size(seeds))];
    for (uint64_t left = random.Below(4); left > 0; --left) {
      const size_t at = random.Below(bytes.size());
      const std::string& word = words[random.Below(std::size(words))];
      bytes.replace(at, random.Below(std::min<size_t>(12, bytes.size() - at)), word);
    }
    const std::string problem = CheckTunnelInvariants(bytes, static_cast<uint64_t>(round));
    ASSERT_EQ(problem, "") << "seed " << kSeed << " round " << round << "\n" << bytes;
  }
}

}  // namespace
}  // namespace outrigger::tunnel
