#include "proxy/tunnel/upgrade.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>

#include "proxy/http1/framing.h"

namespace outrigger::tunnel {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;
using Kind = UpgradeVerdict::Kind;

namespace {

// RFC 6455, 1.3.
constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kKeyBytes = 16;
constexpr size_t kMaxProtocolBytes = 64;

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

UpgradeVerdict Malformed(std::string_view message) { return {Kind::kMalformed, {}, message}; }

// The only field of that name; null: there is none, or more than one, or one that ends at this hop
// because Connection names it: the other side would not see what was judged here.
const HeaderField* FindOnly(const HeaderList& headers, std::string_view name) {
  const HeaderField* found = nullptr;
  for (const HeaderField& field : headers) {
    if (field.id != HeaderId::kOther || !http::EqualsIgnoreCase(field.name, name)) continue;
    if (found != nullptr || http1::IsNominated(headers, field)) return nullptr;
    found = &field;
  }
  return found;
}

void ToBase64(const uint8_t* bytes, size_t size, char* out) {
  // With a zero behind it, for which `out` has no room.
  char text[64];
  const int written =
      EVP_EncodeBlock(reinterpret_cast<uint8_t*>(text), bytes, static_cast<int>(size));
  std::copy(text, text + written, out);
}

}  // namespace

bool MayBeAllowed(std::string_view protocol) {
  if (protocol.empty() || protocol.size() > kMaxProtocolBytes) return false;
  const bool is_token = std::all_of(protocol.begin(), protocol.end(), [](char c) {
    constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~/";
    return (IsAlnum(c) && !(c >= 'A' && c <= 'Z')) || kOthers.find(c) != std::string_view::npos;
  });
  const std::string_view name = protocol.substr(0, protocol.find('/'));
  return is_token && name != "h2c" && name != "h2" && name != "http" && name != "https" &&
         name != "tls";
}

std::string_view FindAllowed(std::string_view protocol, const std::vector<std::string>& allowed) {
  for (const std::string& entry : allowed) {
    if (http::EqualsIgnoreCase(protocol, entry)) return entry;
  }
  return {};
}

UpgradeVerdict JudgeUpgrade(const UpgradeQuestion& question, const HeaderList& headers,
                            const std::vector<std::string>& allowed) {
  if (question.asked.empty()) return {};
  const std::string_view protocol = FindAllowed(question.asked, allowed);
  if (protocol.empty()) return {};
  const bool is_plain_get = question.method == http::Method::kGet && !question.has_body;
  if (protocol != kWebSocket) {
    // A server may ignore Upgrade (RFC 9110, 7.8); with a body it is not clear where that ends.
    if (!is_plain_get) return {};
    return {Kind::kTunnel, protocol, {}};
  }
  if (!is_plain_get) return Malformed("a WebSocket is opened by a GET without a body");
  const HeaderField* key = FindOnly(headers, kKeyField);
  if (key == nullptr || !IsKey(key->value)) {
    return Malformed("Sec-WebSocket-Key is not one key");
  }
  // Which versions it speaks is for the service to say.
  if (FindOnly(headers, kVersionField) == nullptr) {
    return Malformed("Sec-WebSocket-Version is not one version");
  }
  return {Kind::kTunnel, protocol, {}};
}

std::string_view CheckSwitch(std::string_view protocol, std::string_view key,
                             std::string_view upgrade, const HeaderList& headers) {
  if (protocol.empty()) return "101 without a request for it";
  if (!http::EqualsIgnoreCase(upgrade, protocol)) return "101 to another protocol";
  // RFC 9110, 8.6 and 9112, 6.1: what follows has no framing of HTTP.
  if (headers.Has(HeaderId::kContentLength) || headers.Has(HeaderId::kTransferEncoding)) {
    return "101 with a framing field";
  }
  if (protocol != kWebSocket) return {};
  const HeaderField* accept = FindOnly(headers, kAcceptField);
  // Not everything that can be made to answer 101 has understood the question.
  if (accept == nullptr || accept->value != AcceptOf(key).view()) {
    return "101 with a wrong Sec-WebSocket-Accept";
  }
  return {};
}

void RemoveKey(HeaderList& request_headers) { request_headers.Remove(kKeyField); }
void RemoveAccept(HeaderList& response_headers) { response_headers.Remove(kAcceptField); }

bool IsKey(std::string_view text) {
  // 22 characters carry the 16 bytes; of the last one four bits are padding.
  if (text.size() != 24 || !text.ends_with("==")) return false;
  const std::string_view digits = text.substr(0, 22);
  const bool is_base64 = std::all_of(digits.begin(), digits.end(),
                                     [](char c) { return IsAlnum(c) || c == '+' || c == '/'; });
  return is_base64 && std::string_view("AQgw").find(digits.back()) != std::string_view::npos;
}

FixedText<24> NewKey() {
  uint8_t bytes[kKeyBytes];
  if (RAND_bytes(bytes, sizeof bytes) != 1) std::abort();
  FixedText<24> key;
  ToBase64(bytes, sizeof bytes, key.chars.data());
  return key;
}

FixedText<28> AcceptOf(std::string_view key) {
  std::string text(key);
  text += kGuid;
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr) != 1 || size != 20) {
    std::abort();
  }
  FixedText<28> accept;
  ToBase64(digest, size, accept.chars.data());
  return accept;
}

}  // namespace outrigger::tunnel
