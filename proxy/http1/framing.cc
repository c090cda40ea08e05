#include "proxy/http1/framing.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>

#include "proxy/http1/chars.h"

namespace outrigger::http1 {
namespace {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;
using http::Method;
using http::Reason;

// What the fields that control the connection say, before anything is made of it.
struct ControlFields {
  const HeaderField* content_length = nullptr;
  const HeaderField* transfer_encoding = nullptr;
  bool is_repeated = false;
  bool has_connection = false;
  bool has_close = false;
  bool has_keep_alive = false;
  bool has_upgrade_option = false;
  bool has_expect = false;
  bool has_unknown_expectation = false;
  std::string_view upgrade;
};

// Calls `visit(token)` for the members of a comma-separated list.
template <class Visit>
void ForEachToken(std::string_view list, Visit visit) {
  for (;;) {
    const size_t comma = list.find(',');
    const std::string_view token = http::TrimOws(list.substr(0, comma));
    if (!token.empty()) visit(token);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

constexpr http::HeaderIdSet kControlIds(HeaderId::kContentLength, HeaderId::kTransferEncoding,
                                        HeaderId::kUpgrade, HeaderId::kExpect,
                                        HeaderId::kConnection);

ControlFields Collect(const HeaderList& headers) {
  ControlFields out;
  if (!headers.ids().Intersects(kControlIds)) return out;
  bool has_upgrade = false;
  bool has_many_upgrades = false;
  for (const HeaderField& field : headers) {
    switch (field.id) {
      case HeaderId::kContentLength:
        out.is_repeated |= out.content_length != nullptr;
        out.content_length = &field;
        break;
      case HeaderId::kTransferEncoding:
        out.is_repeated |= out.transfer_encoding != nullptr;
        out.transfer_encoding = &field;
        break;
      case HeaderId::kUpgrade:
        // Two of them are a list of choices; this proxy only passes on one.
        has_many_upgrades |= has_upgrade;
        has_upgrade = true;
        out.upgrade = field.value;
        break;
      case HeaderId::kExpect:
        out.has_expect = true;
        out.has_unknown_expectation |= !http::EqualsIgnoreCase(field.value, "100-continue");
        break;
      case HeaderId::kConnection:
        out.has_connection = true;
        ForEachToken(field.value, [&](std::string_view token) {
          out.has_close |= http::EqualsIgnoreCase(token, "close");
          out.has_keep_alive |= http::EqualsIgnoreCase(token, "keep-alive");
          out.has_upgrade_option |= http::EqualsIgnoreCase(token, "upgrade");
        });
        break;
      default:
        break;
    }
  }
  if (has_many_upgrades) out.upgrade = {};
  return out;
}

bool KeepsAlive(int minor_version, const ControlFields& fields) {
  if (fields.has_close) return false;
  return minor_version >= 1 || fields.has_keep_alive;
}

// RFC 9112, 6.1. The one accepted spelling is "chunked"; a message with other codings before it is
// well formed but not understood here, everything else is an attempt to be read in two ways.
FramingError CheckTransferEncoding(std::string_view value, Reason malformed, Reason unknown) {
  if (http::EqualsIgnoreCase(value, "chunked")) return {};
  int chunked = 0;
  bool is_last = false;
  bool are_tokens = true;
  ForEachToken(value, [&](std::string_view token) {
    are_tokens &= IsToken(token);
    is_last = http::EqualsIgnoreCase(token, "chunked");
    chunked += is_last ? 1 : 0;
  });
  if (are_tokens && is_last && chunked == 1 && value.find(',') != std::string_view::npos &&
      http::TrimOws(value).front() != ',' && value.back() != ',') {
    return {unknown, "transfer coding other than chunked"};
  }
  return {malformed, "Transfer-Encoding is not chunked"};
}

// The rules that requests and responses share: at most one of the two fields, once, well formed.
FramingError ReadLength(int minor_version, const ControlFields& fields, Reason malformed,
                        Reason unknown, BodyFraming& body) {
  if (fields.is_repeated) return {malformed, "framing field repeated"};
  if (fields.transfer_encoding != nullptr) {
    // Alone each of these is legal somewhere; together they are the classic of request smuggling
    // (RFC 9112, 6.1 and 11.2), and HTTP/1.0 peers do not know chunks at all.
    if (fields.content_length != nullptr) {
      return {malformed, "Transfer-Encoding together with Content-Length"};
    }
    if (minor_version == 0) return {malformed, "Transfer-Encoding in HTTP/1.0"};
    const FramingError error =
        CheckTransferEncoding(fields.transfer_encoding->value, malformed, unknown);
    if (!error.ok()) return error;
    body = {BodyKind::kChunked, 0};
    return {};
  }
  if (fields.content_length != nullptr) {
    const std::optional<uint64_t> length = ParseContentLength(fields.content_length->value);
    if (!length.has_value()) return {malformed, "malformed Content-Length"};
    body = {BodyKind::kLength, *length};
  }
  return {};
}

// Connection may only name fields of the client's own making. Naming Authorization or
// X-Forwarded-For would make this hop strip what the service relies on.
FramingError CheckNominations(const HeaderList& headers) {
  bool is_bad = false;
  for (const HeaderField& field : headers) {
    if (field.id != HeaderId::kConnection) continue;
    ForEachToken(field.value, [&](std::string_view token) {
      const HeaderId id = http::ClassifyHeader(token);
      is_bad |= id != HeaderId::kOther && !IsHopByHop(id) && id != HeaderId::kTrailer;
    });
  }
  if (is_bad) return {Reason::kBadRequest, "Connection names a field that is not its own"};
  return {};
}

std::string_view UpgradeOf(int minor_version, const ControlFields& fields) {
  // RFC 9110, 7.8: only with its connection option, and never from HTTP/1.0.
  if (minor_version == 0 || !fields.has_upgrade_option) return {};
  return fields.upgrade;
}

}  // namespace

FramingError GetRequestFraming(const RequestHead& head, const HeaderList& headers,
                               RequestFraming& out) {
  out = {};
  for (const HeaderField& field : headers) {
    if (field.id == HeaderId::kOther && IsImitation(field.name)) {
      return {Reason::kBadRequest, "field name with an underscore for a hyphen"};
    }
  }
  const ControlFields fields = Collect(headers);
  FramingError error = ReadLength(head.minor_version, fields, Reason::kBadRequest,
                                  Reason::kNotImplemented, out.body);
  if (!error.ok()) return error;
  if (head.method == Method::kTrace && out.body.has_body()) {
    return {Reason::kBadRequest, "TRACE with a body"};  // RFC 9110, 9.3.8
  }
  if (fields.has_connection) {
    error = CheckNominations(headers);
    if (!error.ok()) return error;
  }
  if (fields.has_unknown_expectation) return {Reason::kBadRequest, "unknown expectation"};
  // HTTP/1.0 clients do not know interim responses: RFC 9110, 10.1.1.
  out.expects_continue = fields.has_expect && head.minor_version >= 1 && out.body.has_body();
  out.keep_alive = KeepsAlive(head.minor_version, fields);
  out.upgrade = UpgradeOf(head.minor_version, fields);
  return {};
}

FramingError GetResponseFraming(Method method, const ResponseHead& head, const HeaderList& headers,
                                ResponseFraming& out) {
  out = {};
  const ControlFields fields = Collect(headers);
  const FramingError error = ReadLength(head.minor_version, fields, Reason::kUpstreamProtocol,
                                        Reason::kUpstreamProtocol, out.body);
  if (!error.ok()) return error;
  out.keep_alive = KeepsAlive(head.minor_version, fields);
  out.is_switching = head.status == 101;
  out.upgrade = UpgradeOf(head.minor_version, fields);
  if (head.status < 200 && out.body.has_body()) {
    // What comes next is read as a body by some and as the answer by others.
    return {Reason::kUpstreamProtocol, "interim response that announces a body"};
  }
  if (head.status < 200 || head.status == 204) {
    // These have no body and no framing fields (RFC 9110, 8.6; RFC 9112, 6.1). A service that
    // announces one may well send it, and its bytes would be taken for the next response.
    if (out.body.has_body()) out.keep_alive = false;
    out.body = {};
    return {};
  }
  if (method == Method::kHead || head.status == 304) {
    if (out.body.kind == BodyKind::kLength) out.declared_length = out.body.length;
    out.body = {};
    return {};
  }
  if (out.body.kind == BodyKind::kNone) {
    out.body = {BodyKind::kUntilClose, 0};
    out.keep_alive = false;
  }
  return {};
}

std::optional<uint64_t> ParseContentLength(std::string_view value) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (value.empty()) return std::nullopt;
  uint64_t length = 0;
  for (char c : value) {
    if (!Is(c, kDigitChar)) return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (length > (kMax - digit) / 10) return std::nullopt;
    length = length * 10 + digit;
  }
  return length;
}

bool IsHopByHop(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyAuthenticate:
    case HeaderId::kProxyAuthorization:
    case HeaderId::kProxyConnection:
    case HeaderId::kTe:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    default:
      return false;
  }
}

bool IsImitation(std::string_view name) {
  constexpr http::HeaderIdSet kOurs(
      HeaderId::kConnection, HeaderId::kContentLength, HeaderId::kForwarded, HeaderId::kHost,
      HeaderId::kTransferEncoding, HeaderId::kXForwardedClientCert, HeaderId::kXForwardedFor,
      HeaderId::kXForwardedHost, HeaderId::kXForwardedProto, HeaderId::kXOutrigger);
  if (name.find('_') == std::string_view::npos) return false;
  std::string plain(name);
  std::replace(plain.begin(), plain.end(), '_', '-');
  return kOurs.Contains(http::ClassifyHeader(plain));
}

bool MayBeTrailer(HeaderId id) {
  switch (id) {
    case HeaderId::kAuthorization:
    case HeaderId::kContentEncoding:
    case HeaderId::kContentLength:
    case HeaderId::kContentType:
    case HeaderId::kCookie:
    case HeaderId::kExpect:
    case HeaderId::kForwarded:
    case HeaderId::kHost:
    case HeaderId::kIdempotencyKey:
    case HeaderId::kLocation:
    case HeaderId::kRetryAfter:
    case HeaderId::kSetCookie:
    case HeaderId::kTrailer:
    case HeaderId::kVia:
    case HeaderId::kWwwAuthenticate:
    case HeaderId::kXForwardedClientCert:
    case HeaderId::kXForwardedFor:
    case HeaderId::kXForwardedHost:
    case HeaderId::kXForwardedProto:
    case HeaderId::kXOutrigger:
      return false;
    default:
      return !IsHopByHop(id);
  }
}

bool IsNominated(const HeaderList& headers, const HeaderField& field) {
  if (field.id != HeaderId::kOther) return false;
  for (const HeaderField& connection : headers) {
    if (connection.id == HeaderId::kConnection &&
        http::ListContainsToken(connection.value, field.name)) {
      return true;
    }
  }
  return false;
}

}  // namespace outrigger::http1
