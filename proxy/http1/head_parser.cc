#include "proxy/http1/head_parser.h"

#include <algorithm>
#include <cstring>

#include "proxy/http1/authority.h"
#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"

namespace outrigger::http1 {
namespace {

using http::HeaderId;
using http::HeaderList;
using http::Reason;

constexpr size_t kMaxMethodBytes = 32;
constexpr std::string_view kPrefaceMethod = "PRI";
// Method, two spaces, version and line end, generously: what a request line may have beyond its
// target.
constexpr size_t kMaxRequestLineOverhead = 64;

HeadResult Error(Reason reason, std::string_view message) {
  return {HeadStatus::kError, 0, reason, message};
}

bool IsOk(const HeadResult& result) { return result.status != HeadStatus::kError; }

// "HTTP/1.0" and "HTTP/1.1"; case matters (RFC 9112, 2.3).
enum class Version : uint8_t { k10, k11, kOther, kMalformed };

Version ParseVersion(std::string_view text) {
  if (text == "HTTP/1.1") return Version::k11;
  if (text == "HTTP/1.0") return Version::k10;
  const bool is_version = text.size() == 8 && text.starts_with("HTTP/") &&
                          Is(text[5], kDigitChar) && text[6] == '.' && Is(text[7], kDigitChar);
  return is_version ? Version::kOther : Version::kMalformed;
}

HeadResult MethodError(std::string_view method) {
  const bool is_cut = method.size() > kMaxMethodBytes;
  if (!IsToken(method.substr(0, kMaxMethodBytes + 1))) {
    return Error(Reason::kBadRequest, "method is not a token");
  }
  if (is_cut) return Error(Reason::kNotImplemented, "method is too long");
  return {};
}

void SplitQuery(std::string_view origin_form, RequestHead& head) {
  const size_t question = std::min(origin_form.find('?'), origin_form.size());
  head.path = origin_form.substr(0, question);
  head.query = origin_form.substr(question);
}

HeadResult ParseAbsoluteTarget(RequestHead& head) {
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  size_t authority_start = 0;
  if (http::EqualsIgnoreCase(head.target.substr(0, kHttp.size()), kHttp)) {
    authority_start = kHttp.size();
  } else if (http::EqualsIgnoreCase(head.target.substr(0, kHttps.size()), kHttps)) {
    authority_start = kHttps.size();
    head.is_https_target = true;
  } else {
    return Error(Reason::kBadRequest, "target is neither a path nor an http(s) URI");
  }
  const size_t authority_end =
      std::min(head.target.find_first_of("/?", authority_start), head.target.size());
  head.form = TargetForm::kAbsolute;
  head.authority = head.target.substr(authority_start, authority_end - authority_start);
  if (!IsValidAuthority(head.authority)) {
    return Error(Reason::kBadRequest, "target has no valid host");
  }
  SplitQuery(head.target.substr(authority_end), head);
  if (head.path.empty()) head.path = "/";  // RFC 9112, 3.2.1
  return {};
}

// RFC 9112, 3.2.
HeadResult ParseTarget(RequestHead& head) {
  head.form = TargetForm::kOrigin;
  head.is_https_target = false;
  head.authority = {};
  if (!AllAre(head.target, kTargetChar)) {
    return Error(Reason::kBadRequest, "character not allowed in the target");
  }
  if (head.target.front() == '/') {
    SplitQuery(head.target, head);
    return {};
  }
  if (head.target == "*") {
    if (head.method != http::Method::kOptions) {
      return Error(Reason::kBadRequest, "target * is for OPTIONS only");
    }
    head.form = TargetForm::kAsterisk;
    head.path = head.target;
    head.query = {};
    return {};
  }
  return ParseAbsoluteTarget(head);
}

// RFC 9112, 3: exactly one space between the parts.
HeadResult ParseRequestLine(std::string_view line, const HeadLimits& limits, RequestHead& head) {
  const size_t method_end = std::min(line.find(' '), line.size());
  head.method_text = line.substr(0, method_end);
  head.method = http::ParseMethod(head.method_text);
  if (head.method == http::Method::kOther) {
    if (HeadResult error = MethodError(head.method_text); !IsOk(error)) return error;
  }
  if (head.method == http::Method::kConnect) {
    return Error(Reason::kNotImplemented, "CONNECT is not supported");
  }
  line.remove_prefix(std::min(method_end + 1, line.size()));
  const size_t target_end = std::min(line.find(' '), line.size());
  head.target = line.substr(0, target_end);
  if (head.target.size() > limits.max_target_bytes) {
    return Error(Reason::kUriTooLong, "target is too long");
  }
  if (head.target.empty()) return Error(Reason::kBadRequest, "request line without a target");
  if (target_end == line.size()) {
    return Error(Reason::kBadRequest, "request line without a version");
  }
  switch (ParseVersion(line.substr(target_end + 1))) {
    case Version::k11:
      head.minor_version = 1;
      break;
    case Version::k10:
      head.minor_version = 0;
      break;
    case Version::kOther:
      return Error(Reason::kHttpVersion, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    case Version::kMalformed:
      return Error(Reason::kBadRequest, "malformed version");
  }
  // Reserved for the preface of HTTP/2 (RFC 9113, 11.6): a service might change to it.
  if (head.method_text == kPrefaceMethod) return Error(Reason::kBadRequest, "method PRI");
  return ParseTarget(head);
}

// RFC 9112, 3.2: exactly one Host in HTTP/1.1. One that disagrees with an absolute target would be
// ignored by some and obeyed by others, so it is refused rather than replaced.
HeadResult CheckHost(RequestHead& head, const HeaderList& headers) {
  if (headers.repeated_ids().Contains(HeaderId::kHost)) {
    return Error(Reason::kBadRequest, "more than one Host");
  }
  const http::HeaderField* const host = headers.Find(HeaderId::kHost);
  if (host == nullptr) {
    if (head.minor_version == 0) return {};
    return Error(Reason::kBadRequest, "no Host");
  }
  if (!IsValidAuthority(host->value)) return Error(Reason::kBadRequest, "invalid Host");
  if (head.form != TargetForm::kAbsolute) {
    head.authority = host->value;
    return {};
  }
  if (!IsSameAuthority(head.authority, host->value, head.is_https_target ? "443" : "80")) {
    return Error(Reason::kBadRequest, "Host differs from the target");
  }
  return {};
}

// A request line that did not end within its limit: what is at fault?
HeadResult LongRequestLine(std::string_view text) {
  const std::string_view method = text.substr(0, text.find(' '));
  if (HeadResult error = MethodError(method); !IsOk(error)) return error;
  return Error(Reason::kUriTooLong, "target is too long");
}

// RFC 9112, 4.
HeadResult ParseStatusLine(std::string_view line, ResponseHead& head) {
  constexpr Reason kReason = Reason::kUpstreamProtocol;
  switch (ParseVersion(line.substr(0, 8))) {
    case Version::k11:
      head.minor_version = 1;
      break;
    case Version::k10:
      head.minor_version = 0;
      break;
    case Version::kOther:
    case Version::kMalformed:
      return Error(kReason, "status line without HTTP/1.0 or HTTP/1.1");
  }
  if (line.size() < 12 || line[8] != ' ') return Error(kReason, "malformed status line");
  head.status = 0;
  for (char c : line.substr(9, 3)) {
    if (!Is(c, kDigitChar)) return Error(kReason, "status is not a number of three digits");
    head.status = head.status * 10 + (c - '0');
  }
  if (head.status < 100 || head.status > 599) return Error(kReason, "status out of range");
  head.reason_phrase = {};
  if (line.size() == 12) return {};  // without the space: many services send it so
  if (line[12] != ' ') return Error(kReason, "status is not a number of three digits");
  head.reason_phrase = line.substr(13);
  if (!IsFieldValue(head.reason_phrase)) {
    return Error(kReason, "control character in the reason phrase");
  }
  return {};
}

// What differs between requests and responses.
struct RequestRules {
  static constexpr Reason kSyntax = Reason::kBadRequest;
  static constexpr Reason kTooLarge = Reason::kHeadersTooLarge;
  static constexpr bool kAllowsEmptyLine = true;

  const HeadLimits& limits;
  RequestHead& head;

  size_t max_start_line() const { return limits.max_target_bytes + kMaxRequestLineOverhead; }
  HeadResult LongStartLine(std::string_view text) const { return LongRequestLine(text); }
  HeadResult StartLine(std::string_view line) const { return ParseRequestLine(line, limits, head); }
  HeadResult Finish(const HeaderList& headers) const { return CheckHost(head, headers); }
};

struct ResponseRules {
  static constexpr Reason kSyntax = Reason::kUpstreamProtocol;
  static constexpr Reason kTooLarge = Reason::kUpstreamProtocol;
  static constexpr bool kAllowsEmptyLine = false;

  const HeadLimits& limits;
  ResponseHead& head;

  size_t max_start_line() const { return limits.max_head_bytes; }
  HeadResult LongStartLine(std::string_view) const {
    return Error(kSyntax, "status line is too long");
  }
  HeadResult StartLine(std::string_view line) const { return ParseStatusLine(line, head); }
  HeadResult Finish(const HeaderList&) const { return {}; }
};

// Takes complete lines from progress.line_start on. Every verdict depends only on the bytes up to
// the end of the line it is about (or on a fixed number of bytes, for limits), never on where the
// reads were split: a prefix that is refused stays refused however it goes on.
template <class Rules>
HeadResult ParseLines(std::string_view buffer, HeadProgress& progress, const HeadLimits& limits,
                      const Rules& rules, HeaderList& headers) {
  const std::string_view text = buffer.substr(0, limits.max_head_bytes);
  for (;;) {
    const size_t start = progress.line_start;
    if (!progress.has_start_line && start < text.size()) {
      // Answers a TLS handshake or other noise at once: it may never send a line feed.
      const bool may_be_empty = Rules::kAllowsEmptyLine && !progress.has_empty_line;
      if (!Is(text[start], kTokenChar) && !(may_be_empty && text[start] == '\r')) {
        return Error(Rules::kSyntax, "message begins with a character that no start line has");
      }
    }
    // The usual lines, in one pass; whatever this does not take is looked at below.
    if (progress.has_start_line && progress.scanned <= start &&
        progress.fields < limits.max_fields) {
      const TakenLines taken =
          TakeFieldLines(text.substr(start), limits.max_fields - progress.fields, headers);
      if (taken.fields > 0) {
        progress.fields += taken.fields;
        progress.line_start = progress.scanned = start + taken.bytes;
        continue;
      }
    }
    const size_t from = std::max(start, progress.scanned);
    const void* found =
        from < text.size() ? std::memchr(text.data() + from, '\n', text.size() - from) : nullptr;
    const size_t end = found == nullptr
                           ? text.size()
                           : static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (!progress.has_start_line && end - start > rules.max_start_line()) {
      return rules.LongStartLine(text.substr(start, rules.max_start_line()));
    }
    if (found == nullptr) {
      progress.scanned = text.size();
      if (text.size() == limits.max_head_bytes) {
        return Error(Rules::kTooLarge, "head is too large");
      }
      return {};
    }
    // RFC 9112, 2.2 lets a recipient take a bare LF for a line end. Whoever does not would see
    // another message.
    if (end == start || text[end - 1] != '\r') {
      return Error(Rules::kSyntax, "line feed without carriage return");
    }
    const std::string_view line = text.substr(start, end - 1 - start);
    progress.line_start = progress.scanned = end + 1;
    if (!progress.has_start_line) {
      if (line.empty()) {
        progress.has_empty_line = true;
        continue;
      }
      if (HeadResult error = rules.StartLine(line); !IsOk(error)) return error;
      progress.has_start_line = true;
      continue;
    }
    if (line.empty()) return {HeadStatus::kDone, end + 1, Reason::kNone, {}};
    if (++progress.fields > limits.max_fields) {
      return Error(Rules::kTooLarge, "too many header fields");
    }
    if (std::string_view problem = ParseFieldLine(line, headers); !problem.empty()) {
      return Error(Rules::kSyntax, problem);
    }
  }
}

template <class Rules>
HeadResult ParseHead(std::string_view buffer, HeadProgress& progress, const HeadLimits& limits,
                     const Rules& rules, HeaderList& headers) {
  const bool is_resumed = progress.line_start > 0;
  headers.Clear();
  HeadResult result = ParseLines(buffer, progress, limits, rules, headers);
  if (result.status != HeadStatus::kDone) return result;
  if (is_resumed) {
    // The lines of earlier calls are known to be good, but the buffer may have moved since: read
    // them once more for their views.
    HeadProgress again;
    headers.Clear();
    result = ParseLines(buffer, again, limits, rules, headers);
  }
  if (HeadResult error = rules.Finish(headers); !IsOk(error)) return error;
  return result;
}

}  // namespace

HeadResult ParseRequestHead(std::string_view buffer, HeadProgress& progress,
                            const HeadLimits& limits, RequestHead& head, HeaderList& headers) {
  return ParseHead(buffer, progress, limits, RequestRules{limits, head}, headers);
}

HeadResult ParseResponseHead(std::string_view buffer, HeadProgress& progress,
                             const HeadLimits& limits, ResponseHead& head, HeaderList& headers) {
  return ParseHead(buffer, progress, limits, ResponseRules{limits, head}, headers);
}

}  // namespace outrigger::http1
