// Whether a request asks for another protocol, whether it may have it, and whether the service's
// answer agrees (RFC 9110, 7.8; RFC 6455, 4; RFC 8441; semantics PR-4).
//
//   const UpgradeVerdict verdict = JudgeUpgrade({.asked = framing.upgrade, ...}, headers, allowed);
//   switch (verdict.kind) {
//     case kNone:      -> an ordinary request; Upgrade ends at this hop
//     case kTunnel:    -> request.upgrade = verdict.protocol
//     case kMalformed: -> 400 with verdict.message
//   }
//
// A proxy that believes in a tunnel where the service does not, or the other way round, lets a
// client send requests past everything that the proxy does. So there is one accepted form of
// asking, the handshake of a WebSocket is checked on both sides, and each side has one of its own:
// the client's key is answered here, the service is sent a key of ours. Tunnels of HTTP/2 have no
// keys. Pure, but for random keys; any thread.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/headers.h"
#include "proxy/http/method.h"

namespace outrigger::tunnel {

inline constexpr std::string_view kWebSocket = "websocket";

// Whether a configuration may allow it: a token in lower case, and none that would put HTTP or TLS
// into the tunnel (h2c, http/2.0, tls/1.0): what goes through that must pass the filters.
bool MayBeAllowed(std::string_view protocol);

struct UpgradeVerdict {
  enum class Kind : uint8_t { kNone, kTunnel, kMalformed };

  Kind kind = Kind::kNone;
  std::string_view protocol;  // the entry of `allowed`
  std::string_view message;   // static text
};

struct UpgradeQuestion {
  std::string_view asked;  // RequestFraming::upgrade
  http::Method method = http::Method::kOther;
  bool has_body = false;
};

// Of HTTP/1.1. What is not one allowed protocol is no question but an ordinary request; a request
// for one that breaks the protocol's own rules is malformed.
UpgradeVerdict JudgeUpgrade(const UpgradeQuestion& question, const http::HeaderList& headers,
                            const std::vector<std::string>& allowed);
// The entry of `allowed` that `protocol` is, without regard to case; empty: none.
std::string_view FindAllowed(std::string_view protocol, const std::vector<std::string>& allowed);

// 101 of an HTTP/1.1 service. `upgrade`: ResponseFraming::upgrade. `key`: what was sent to it.
// The problem, or empty.
std::string_view CheckSwitch(std::string_view protocol, std::string_view key,
                             std::string_view upgrade, const http::HeaderList& headers);

// The fields of the handshake that belong to one hop.
void RemoveKey(http::HeaderList& request_headers);
void RemoveAccept(http::HeaderList& response_headers);

inline constexpr std::string_view kKeyField = "Sec-WebSocket-Key";
inline constexpr std::string_view kAcceptField = "Sec-WebSocket-Accept";
inline constexpr std::string_view kVersionField = "Sec-WebSocket-Version";
inline constexpr std::string_view kVersion = "13";

// Sixteen bytes in base64 (RFC 6455, 4.1).
bool IsKey(std::string_view text);

// A short text in place.
template <size_t size>
struct FixedText {
  std::array<char, size> chars{};
  std::string_view view() const { return {chars.data(), chars.size()}; }
};
FixedText<24> NewKey();
FixedText<28> AcceptOf(std::string_view key);

}  // namespace outrigger::tunnel
