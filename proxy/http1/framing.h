// Where a message's body ends, and what happens to the connection after it (RFC 9112, 6 and 9).
//
//   RequestFraming framing;
//   FramingError error = GetRequestFraming(head, headers, framing);
//   if (!error.ok()) -> answer error.reason, close
//
// A proxy that judges the length otherwise than its neighbours can be made to smuggle requests, so
// there is one accepted spelling of everything: one Content-Length of digits, or one
// `Transfer-Encoding: chunked`, never both. The serialiser writes the framing anew from this
// result. Pure; views point into the headers given.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/headers.h"
#include "proxy/http/method.h"
#include "proxy/http/reason.h"
#include "proxy/http1/head_parser.h"

namespace outrigger::http1 {

enum class BodyKind : uint8_t {
  kNone,
  kLength,
  kChunked,
  kUntilClose,  // responses only
};

struct BodyFraming {
  BodyKind kind = BodyKind::kNone;
  uint64_t length = 0;  // of kLength; for kNone see ResponseFraming::declared_length

  bool has_body() const {
    return kind == BodyKind::kChunked || kind == BodyKind::kUntilClose || length > 0;
  }
  bool operator==(const BodyFraming&) const = default;
};

struct [[nodiscard]] FramingError {
  http::Reason reason = http::Reason::kNone;
  std::string_view message;  // static text

  bool ok() const { return reason == http::Reason::kNone; }
};

struct RequestFraming {
  BodyFraming body;
  // Whether the client allows another request on the connection.
  bool keep_alive = false;
  // The client waits for `100 Continue` before it sends the body.
  bool expects_continue = false;
  // The value of Upgrade when Connection nominates it (HTTP/1.1 only), else empty.
  std::string_view upgrade;
};

// Errors: bad_request (ambiguous or malformed framing, an unknown expectation, Connection naming a
// field that the proxy itself acts on), not_implemented (a coding other than chunked).
FramingError GetRequestFraming(const RequestHead& head, const http::HeaderList& headers,
                               RequestFraming& out);

struct ResponseFraming {
  BodyFraming body;
  // Whether the connection may serve another request after this body.
  bool keep_alive = false;
  // 101: the connection now speaks another protocol.
  bool is_switching = false;
  std::string_view upgrade;
  // Content-Length of a response that has no body by rule (HEAD, 304): it is passed on.
  std::optional<uint64_t> declared_length;
};

// `method` is the request's. Errors: upstream_protocol.
FramingError GetResponseFraming(http::Method method, const ResponseHead& head,
                                const http::HeaderList& headers, ResponseFraming& out);

// Digits only, no sign, no list, at most 2^63 - 1; nullopt otherwise.
std::optional<uint64_t> ParseContentLength(std::string_view value);

// Fields that end at this hop in any message: Connection, Keep-Alive, Proxy-Connection,
// Proxy-Authenticate, Proxy-Authorization, TE, Transfer-Encoding, Upgrade.
bool IsHopByHop(http::HeaderId id);

// Whether a field's name becomes that of another when underscores are taken for hyphens, as CGI and
// its heirs do (RFC 3875, 4.1.18), and that other one says where the message ends or is set or
// removed by this proxy: a service would take the client's word for the proxy's.
bool IsImitation(std::string_view name);

// Whether a field may come after the content. Those that say how to read, route or authorise the
// message come too late there: a recipient that merges trailers into the head would act on them.
bool MayBeTrailer(http::HeaderId id);

// Whether some Connection field names `field`, which then ends at this hop too. Fields that the
// proxy itself acts on cannot be nominated away (known ids other than the hop-by-hop ones).
bool IsNominated(const http::HeaderList& headers, const http::HeaderField& field);

}  // namespace outrigger::http1
