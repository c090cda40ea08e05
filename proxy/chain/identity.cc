#include "proxy/chain/identity.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "proxy/log/hash.h"
#include "proxy/net/address.h"

namespace outrigger::chain {

using http::HeaderField;
using http::HeaderId;

namespace {

constexpr size_t kTraceparentBytes = 55;  // 00-<32>-<16>-<2>
constexpr size_t kTraceIdAt = 3;
constexpr size_t kTraceIdBytes = 32;
constexpr size_t kSpanIdAt = 36;
constexpr size_t kSpanIdBytes = 16;
constexpr size_t kMaxRequestIdBytes = 128;

// The eight digits of `number`, each nibble spread to a byte of its own and all turned into digits
// at once.
void PutHex32(uint32_t number, char* out) {
  uint64_t nibbles = number;
  nibbles = (nibbles << 16 | nibbles) & 0x0000FFFF0000FFFF;
  nibbles = (nibbles << 8 | nibbles) & 0x00FF00FF00FF00FF;
  nibbles = (nibbles << 4 | nibbles) & 0x0F0F0F0F0F0F0F0F;
  // One in each byte that is a letter.
  const uint64_t letters = ((nibbles + 0x0606060606060606) >> 4) & 0x0101010101010101;
  uint64_t digits = nibbles + 0x3030303030303030 + letters * ('a' - '0' - 10);
  if constexpr (std::endian::native == std::endian::little) digits = __builtin_bswap64(digits);
  std::memcpy(out, &digits, sizeof digits);
}

void PutHex(uint64_t number, char* out) {
  PutHex32(static_cast<uint32_t>(number >> 32), out);
  PutHex32(static_cast<uint32_t>(number), out + 8);
}

bool IsLowerHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

// Visible ASCII without what would have to be escaped in a log line.
bool IsUsableRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '"' && c != '\\'; });
}

// The address in an entry of X-Forwarded-For, which some write with a port; empty: none.
std::string_view AddressOf(std::string_view entry) {
  if (entry.starts_with('[')) {
    const size_t end = entry.find(']');
    entry = end == std::string_view::npos ? std::string_view() : entry.substr(1, end - 1);
  } else if (entry.find(':') == entry.rfind(':')) {
    entry = entry.substr(0, entry.find(':'));
  }
  return net::SocketAddress::FromIp(entry, 0).ok() ? entry : std::string_view();
}

// Version 00 exactly; a later version would have to be read as 00 plus more, which nobody sends.
bool IsUsableTraceparent(std::string_view text) {
  if (text.size() != kTraceparentBytes || !text.starts_with("00-")) return false;
  if (text[35] != '-' || text[52] != '-') return false;
  const std::string_view trace_id = text.substr(kTraceIdAt, kTraceIdBytes);
  const std::string_view span_id = text.substr(kSpanIdAt, kSpanIdBytes);
  return IsLowerHex(trace_id) && IsLowerHex(span_id) && IsLowerHex(text.substr(53)) &&
         !IsZero(trace_id) && !IsZero(span_id);
}

}  // namespace

std::string_view ClientAddress(const http::HeaderList& headers, std::string_view peer,
                               int64_t trusted_hops) {
  if (trusted_hops == 0 || !headers.Has(HeaderId::kXForwardedFor)) return peer;
  std::string_view client = peer;
  const std::span<const HeaderField> fields(headers.begin(), headers.end());
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (field->id != HeaderId::kXForwardedFor) continue;
    std::string_view list = field->value;
    for (;;) {
      const size_t comma = list.rfind(',');
      const bool is_last = comma == std::string_view::npos;
      const std::string_view entry =
          AddressOf(http::TrimOws(is_last ? list : list.substr(comma + 1)));
      if (entry.empty()) return client;
      client = entry;
      if (--trusted_hops == 0) return client;
      if (is_last) break;
      list = list.substr(0, comma);
    }
  }
  return client;
}

std::string_view IdentityMaker::RequestId(const http::HeaderList& headers, Arena& arena) {
  const HeaderField* field = headers.Find(HeaderId::kXRequestId);
  if (field != nullptr && IsUsableRequestId(field->value)) return field->value;
  char* out = arena.Allocate(32);
  PutHex(random_.Next(), out);
  PutHex(random_.Next(), out + 16);
  return {out, 32};
}

TraceContext IdentityMaker::Trace(const http::HeaderList& headers, Arena& arena) {
  char* out = arena.Allocate(kTraceparentBytes);
  const HeaderField* field = headers.Find(HeaderId::kTraceparent);
  if (field != nullptr && IsUsableTraceparent(field->value)) {
    field->value.copy(out, kTraceparentBytes);
  } else {
    std::string_view("00-").copy(out, 3);
    PutHex(random_.Next(), out + kTraceIdAt);
    PutHex(random_.Next() | 1, out + kTraceIdAt + 16);
    out[35] = out[52] = '-';
    std::string_view("00").copy(out + 53, 2);  // not sampled
  }
  PutHex(random_.Next() | 1, out + kSpanIdAt);
  const std::string_view traceparent(out, kTraceparentBytes);
  return {traceparent, traceparent.substr(kTraceIdAt, kTraceIdBytes)};
}

std::string_view IdentityMaker::Tenant(http::Request& request, const config::TenantConfig& config,
                                       Arena& arena) {
  request.is_tenant_unverified = false;
  if (!config.header.empty()) {
    const HeaderField* field = request.headers.Find(std::string_view(config.header));
    if (field != nullptr && !field->value.empty()) return field->value;
  }
  for (const config::TenantSource source : config.from) {
    if (source == config::TenantSource::kMtls) {
      if (!request.peer_identity.empty()) return request.peer_identity;
      continue;
    }
    const HeaderField* authorization = request.headers.Find(HeaderId::kAuthorization);
    if (authorization == nullptr || authorization->value.empty()) continue;
    request.is_tenant_unverified = true;
    return arena.Copy(log::HashForLog(authorization->value));
  }
  return "anonymous";
}

}  // namespace outrigger::chain
