// Strict parsers for the heads of HTTP/1.x messages (RFC 9112, 2 to 5; semantics PR-1).
//
//   HeadProgress progress;  // one for each message
//   RequestHead head;
//   HeadResult result = ParseRequestHead(buffer, progress, limits, head, headers);
//   if (result.status == HeadStatus::kIncomplete) -> read more, call again with the longer buffer
//   if (result.status == HeadStatus::kDone) -> the body begins at buffer[result.consumed]
//
// `buffer` starts at the first byte of the message; between calls it may move but keeps its
// content. `progress` remembers the lines that were found good, so that a client that sends a byte
// a second costs linear time; lines are judged as soon as they are complete. The result does not
// depend on how the bytes were split. On kDone all views of `head` and `headers` point into
// `buffer`; before that they mean nothing.
//
// Leniencies, each chosen: one empty line before a request (RFC 9112, 2.2), a response's status
// line without the space before an absent reason phrase. Everything else that the grammar does not
// allow is refused, since another parser behind or before us might read it differently.
//
// No allocation once `headers` has its capacity. Pure: no state but the arguments.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/http/headers.h"
#include "proxy/http/method.h"
#include "proxy/http/reason.h"

namespace outrigger::http1 {

struct HeadLimits {
  size_t max_head_bytes = 60 * 1024;  // start line, fields and the empty line (PR-8)
  size_t max_fields = 100;
  size_t max_target_bytes = 8 * 1024;
};

enum class HeadStatus : uint8_t { kIncomplete, kDone, kError };

struct HeadResult {
  HeadStatus status = HeadStatus::kIncomplete;
  // kDone: bytes up to and including the empty line.
  size_t consumed = 0;
  // kError: how to answer, and a static text for the log and the problem's detail. After an error
  // the connection is not usable.
  http::Reason reason = http::Reason::kNone;
  std::string_view message;
};

// Set to {} before each message; opaque to callers.
struct HeadProgress {
  size_t line_start = 0;
  size_t scanned = 0;
  size_t fields = 0;
  bool has_empty_line = false;
  bool has_start_line = false;
};

enum class TargetForm : uint8_t { kOrigin, kAbsolute, kAsterisk };

struct RequestHead {
  http::Method method = http::Method::kOther;
  std::string_view method_text;
  // As received.
  std::string_view target;
  TargetForm form = TargetForm::kOrigin;
  // The target's path ("/" when absolute form has none, "*" for asterisk form) and its query with
  // the question mark. Together they are the origin form that goes upstream.
  std::string_view path;
  std::string_view query;
  // From the target in absolute form, else from Host; empty only in HTTP/1.0.
  std::string_view authority;
  // Whether the target was absolute with the scheme https.
  bool is_https_target = false;
  uint8_t minor_version = 1;
};

// Errors: bad_request, uri_too_long, headers_too_large, not_implemented, http_version.
HeadResult ParseRequestHead(std::string_view buffer, HeadProgress& progress,
                            const HeadLimits& limits, RequestHead& head, http::HeaderList& headers);

struct ResponseHead {
  int status = 0;  // 100 to 599
  std::string_view reason_phrase;
  uint8_t minor_version = 1;
};

// Errors: upstream_protocol. Interim responses (1xx) are heads of their own: start again with a new
// progress at buffer[consumed].
HeadResult ParseResponseHead(std::string_view buffer, HeadProgress& progress,
                             const HeadLimits& limits, ResponseHead& head,
                             http::HeaderList& headers);

}  // namespace outrigger::http1
