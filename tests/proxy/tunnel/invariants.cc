#include "tests/proxy/tunnel/invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"
#include "proxy/http1/serializer.h"
#include "proxy/tunnel/upgrade.h"
#include "proxy/tunnel/websocket_frames.h"
#include "tests/proxy/http1/invariants.h"

namespace outrigger::tunnel {
namespace {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;
using Kind = UpgradeVerdict::Kind;

constexpr std::string_view kOwnKey = "dGhlIHNhbXBsZSBub25jZQ==";

const std::vector<std::string>& Allowed() {
  static const std::vector<std::string> kAllowed = {"websocket", "echo/2"};
  return kAllowed;
}

struct Parsed {
  http1::RequestHead head;
  HeaderList headers;
  http1::RequestFraming framing;
  bool is_good = false;
};

void Parse(std::string_view bytes, Parsed& out, const http1::HeadLimits& limits = {}) {
  http1::HeadProgress progress;
  const http1::HeadResult result =
      http1::ParseRequestHead(bytes, progress, limits, out.head, out.headers);
  out.is_good = result.status == http1::HeadStatus::kDone &&
                http1::GetRequestFraming(out.head, out.headers, out.framing).ok();
}

UpgradeVerdict Judge(const Parsed& parsed) {
  return JudgeUpgrade({parsed.framing.upgrade, parsed.head.method, parsed.framing.body.has_body()},
                      parsed.headers, Allowed());
}

size_t Count(const HeaderList& headers, std::string_view name) {
  return static_cast<size_t>(std::count_if(
      headers.begin(), headers.end(),
      [name](const HeaderField& field) { return http::EqualsIgnoreCase(field.name, name); }));
}

// As the connection to the service writes it. Empty: it cannot be written.
std::string Write(const Parsed& parsed, std::string_view protocol) {
  HeaderList extra;
  http1::HeadOptions options;
  options.host = parsed.head.authority.empty() ? "stand-in" : parsed.head.authority;
  options.upgrade = protocol;
  options.extra = &extra;
  if (protocol == kWebSocket) extra.Add(kKeyField, kOwnKey);
  const http1::RequestLine line{parsed.head.method_text, parsed.head.path, parsed.head.query};
  std::vector<char> buffer(http1::MaxHeadBytes(line, parsed.headers, options));
  http1::ByteSink sink{buffer.data(), buffer.data() + buffer.size()};
  if (http1::WriteRequestHead(sink, line, parsed.headers, parsed.framing.body, options) !=
      http1::WriteResult::kOk) {
    return {};
  }
  return {buffer.data(), static_cast<size_t>(sink.at - buffer.data())};
}

std::string CheckRequest(std::string_view bytes) {
  Parsed parsed;
  Parse(bytes, parsed);
  if (!parsed.is_good) return {};
  const UpgradeVerdict verdict = Judge(parsed);
  if (verdict.kind == Kind::kMalformed) return {};
  const bool is_tunnel = verdict.kind == Kind::kTunnel;
  if (is_tunnel) {
    if (parsed.head.method != http::Method::kGet || parsed.head.minor_version != 1 ||
        parsed.framing.body.has_body()) {
      return "a tunnel for what is no GET of HTTP/1.1 without a body";
    }
    if (parsed.headers.repeated_ids().Contains(HeaderId::kUpgrade)) return "a choice of tunnels";
    if (FindAllowed(verdict.protocol, Allowed()) != verdict.protocol) return "not an allowed one";
    RemoveKey(parsed.headers);
  }
  const std::string written = Write(parsed, verdict.protocol);
  if (written.empty()) return "accepted request cannot be written";
  Parsed again;
  Parse(written, again, http1::kNormalFormLimits);
  if (!again.is_good) return "written request is refused";
  if (!is_tunnel) {
    return again.headers.Has(HeaderId::kUpgrade) || !again.framing.upgrade.empty()
               ? "Upgrade goes on without a tunnel"
               : "";
  }
  const bool is_websocket = verdict.protocol == kWebSocket;
  if (Count(again.headers, "upgrade") != 1 || again.framing.upgrade != verdict.protocol ||
      Count(again.headers, kKeyField) != (is_websocket ? 1u : 0u)) {
    return "written handshake is not one handshake";
  }
  if (is_websocket && again.headers.Get(kKeyField) != kOwnKey) return "a key of somebody else";
  if (Judge(again).kind != Kind::kTunnel) return "written handshake is none";
  return {};
}

std::string CheckAnswer(std::string_view bytes) {
  http1::HeadProgress progress;
  http1::ResponseHead head;
  HeaderList headers;
  const http1::HeadResult result = http1::ParseResponseHead(bytes, progress, {}, head, headers);
  if (result.status != http1::HeadStatus::kDone) return {};
  http1::ResponseFraming framing;
  if (!http1::GetResponseFraming(http::Method::kGet, head, headers, framing).ok()) return {};
  if (CheckSwitch({}, {}, framing.upgrade, headers).empty())
    return "a tunnel that nobody asked for";
  if (!CheckSwitch(kWebSocket, kOwnKey, framing.upgrade, headers).empty()) return {};
  const bool is_right =
      http::EqualsIgnoreCase(framing.upgrade, kWebSocket) && head.minor_version == 1 &&
      Count(headers, "upgrade") == 1 && Count(headers, kAcceptField) == 1 &&
      headers.Get(kAcceptField) == AcceptOf(kOwnKey).view() &&
      !headers.Has(HeaderId::kContentLength) && !headers.Has(HeaderId::kTransferEncoding);
  return is_right ? "" : "a wrong answer opens a tunnel";
}

std::string CheckFrames(std::string_view bytes, uint64_t seed) {
  Random random(seed);
  WebSocketFrames at_once;
  at_once.Feed(bytes);
  WebSocketFrames in_pieces;
  for (std::string_view rest = bytes; !rest.empty();) {
    const size_t size = std::min<size_t>(rest.size(), 1 + random.Below(20));
    in_pieces.Feed(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  if (at_once.frames() != in_pieces.frames() || at_once.is_closed() != in_pieces.is_closed() ||
      at_once.is_lost() != in_pieces.is_lost() ||
      at_once.may_add_close() != in_pieces.may_add_close()) {
    return "frames depend on how they are split";
  }
  return at_once.frames() > bytes.size() / 2 ? "more frames than bytes can hold" : "";
}

}  // namespace

std::string_view KeyOfInvariants() { return kOwnKey; }

std::string CheckTunnelInvariants(std::string_view bytes, uint64_t seed) {
  std::string problem = CheckRequest(bytes);
  if (problem.empty()) problem = CheckAnswer(bytes);
  if (problem.empty()) problem = CheckFrames(bytes, seed);
  return problem;
}

}  // namespace outrigger::tunnel
