// Which requests may have a tunnel, and which answers open one.

#include "proxy/tunnel/upgrade.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace outrigger::tunnel {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;
using Kind = UpgradeVerdict::Kind;

// RFC 6455, 1.3.
constexpr std::string_view kSampleKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kSampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const std::vector<std::string> kAllowed = {"websocket", "echo/2"};
const Fields kGood = {{"Sec-WebSocket-Key", kSampleKey}, {"Sec-WebSocket-Version", "13"}};

http::HeaderList ToList(const Fields& fields) {
  http::HeaderList headers;
  for (const auto& [name, value] : fields) headers.Add(name, value);
  return headers;
}

UpgradeVerdict Judge(std::string_view asked, const Fields& fields,
                     http::Method method = http::Method::kGet, bool has_body = false) {
  return JudgeUpgrade({asked, method, has_body}, ToList(fields), kAllowed);
}

TEST(JudgeUpgrade, TakesTheHandshakeOfAWebSocket) {
  for (std::string_view asked : {"websocket", "WebSocket", "WEBSOCKET"}) {
    const UpgradeVerdict verdict = Judge(asked, kGood);
    EXPECT_EQ(verdict.kind, Kind::kTunnel) << asked;
    EXPECT_EQ(verdict.protocol, "websocket");
  }
  // What version it speaks is for the service to say.
  EXPECT_EQ(
      Judge("websocket", {{"sec-websocket-key", kSampleKey}, {"sec-websocket-version", "8"}}).kind,
      Kind::kTunnel);
}

TEST(JudgeUpgrade, LeavesEverythingElseAlone) {
  for (std::string_view asked : {"", "h2c", "websocket, h2c", "h2c, websocket", "websocket,", "web",
                                 "websocket2", "HTTP/2.0", "TLS/1.0", "echo", "echo/3"}) {
    EXPECT_EQ(Judge(asked, kGood).kind, Kind::kNone) << asked;
  }
  EXPECT_EQ(JudgeUpgrade({"websocket", http::Method::kGet, false}, ToList(kGood), {}).kind,
            Kind::kNone);
}

TEST(JudgeUpgrade, RefusesAMalformedHandshake) {
  const std::vector<Fields> cases = {
      {},
      {{"Sec-WebSocket-Version", "13"}},
      {{"Sec-WebSocket-Key", kSampleKey}},
      {{"Sec-WebSocket-Key", ""}, {"Sec-WebSocket-Version", "13"}},
      {{"Sec-WebSocket-Key", kSampleKey}, kGood[0], kGood[1]},
      {kGood[0], kGood[1], kGood[1]},
      {{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ="}, kGood[1]},
      {{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ==="}, kGood[1]},
      {{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR=="}, kGood[1]},
      {{"Sec-WebSocket-Key", "dGhlIHNhbXBs-SBub25jZQ=="}, kGood[1]},
      {kGood[0], kGood[1], {"Connection", "upgrade, sec-websocket-version"}},
      {kGood[0], kGood[1], {"Connection", "upgrade, sec-websocket-key"}},
  };
  for (const Fields& fields : cases) {
    const UpgradeVerdict verdict = Judge("websocket", fields);
    EXPECT_EQ(verdict.kind, Kind::kMalformed) << testing::PrintToString(fields);
    EXPECT_FALSE(verdict.message.empty());
  }
  EXPECT_EQ(Judge("websocket", kGood, http::Method::kPost).kind, Kind::kMalformed);
  EXPECT_EQ(Judge("websocket", kGood, http::Method::kHead).kind, Kind::kMalformed);
  EXPECT_EQ(Judge("websocket", kGood, http::Method::kGet, true).kind, Kind::kMalformed);
}

TEST(JudgeUpgrade, KnowsNoRulesOfOtherProtocolsButOnesOfItsOwn) {
  EXPECT_EQ(Judge("Echo/2", {}).kind, Kind::kTunnel);
  EXPECT_EQ(Judge("Echo/2", {}).protocol, "echo/2");
  EXPECT_EQ(Judge("echo/2", {}, http::Method::kPost).kind, Kind::kNone);
  EXPECT_EQ(Judge("echo/2", {}, http::Method::kGet, true).kind, Kind::kNone);
}

TEST(MayBeAllowed, ExcludesHttpAndTlsInEveryForm) {
  for (std::string_view protocol :
       {"websocket", "echo/2", "x-mine", "connect-udp", "httpx", "tlsx"}) {
    EXPECT_TRUE(MayBeAllowed(protocol)) << protocol;
  }
  for (std::string_view protocol : {"", "h2c", "h2", "h2c/1", "http", "http/2.0", "https", "tls",
                                    "tls/1.2", "WebSocket", "a b", "a,b", "a\r\n", "\xC3\xA4"}) {
    EXPECT_FALSE(MayBeAllowed(protocol)) << protocol;
  }
  EXPECT_FALSE(MayBeAllowed(std::string(65, 'a')));
}

TEST(Key, IsAnsweredAsTheStandardSays) {
  EXPECT_EQ(AcceptOf(kSampleKey).view(), kSampleAccept);
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    const FixedText<24> key = NewKey();
    EXPECT_TRUE(IsKey(key.view())) << key.view();
    keys.insert(std::string(key.view()));
  }
  EXPECT_EQ(keys.size(), 100u);
}

TEST(CheckSwitch, AcceptsTheRightAnswerAlone) {
  const Fields right = {
      {"Connection", "Upgrade"}, {"Upgrade", "websocket"}, {"Sec-WebSocket-Accept", kSampleAccept}};
  const auto check = [](std::string_view protocol, std::string_view upgrade, const Fields& fields) {
    return CheckSwitch(protocol, kSampleKey, upgrade, ToList(fields));
  };
  EXPECT_EQ(check("websocket", "websocket", right), "");
  EXPECT_EQ(check("websocket", "WebSocket", right), "");
  EXPECT_NE(check("", "websocket", right), "");
  EXPECT_NE(check("websocket", "", right), "");
  EXPECT_NE(check("websocket", "h2c", right), "");
  EXPECT_NE(check("websocket", "websocket, h2c", right), "");
  EXPECT_NE(check("websocket", "websocket", {}), "");
  EXPECT_NE(check("websocket", "websocket", {{"Sec-WebSocket-Accept", kSampleKey}}), "");
  EXPECT_NE(check("websocket", "websocket", {right[2], right[2]}), "");
  EXPECT_NE(check("websocket", "websocket", {right[2], {"Content-Length", "0"}}), "");
  EXPECT_NE(check("websocket", "websocket", {right[2], {"Transfer-Encoding", "chunked"}}), "");
  EXPECT_EQ(check("echo/2", "Echo/2", {}), "");
  EXPECT_NE(check("echo/2", "websocket", right), "");
}

TEST(Handshake, LosesWhatBelongsToOneHop) {
  http::HeaderList request =
      ToList({{"sec-websocket-KEY", kSampleKey}, {"Sec-WebSocket-Version", "13"}});
  RemoveKey(request);
  EXPECT_EQ(request.size(), 1u);
  http::HeaderList response =
      ToList({{"sec-websocket-accept", "x"}, {"Sec-WebSocket-Protocol", "chat"}});
  RemoveAccept(response);
  EXPECT_EQ(response.size(), 1u);
}

}  // namespace
}  // namespace outrigger::tunnel
