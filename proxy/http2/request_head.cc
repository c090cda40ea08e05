#include "proxy/http2/request_head.h"

#include <algorithm>

#include "proxy/http1/authority.h"
#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"
#include "proxy/http1/framing.h"
#include "proxy/http2/kept_field.h"

namespace outrigger::http2 {

using http::HeaderField;
using http::HeaderId;
using http::Reason;
using http::Request;

namespace {

using Kind = HeadVerdict::Kind;

constexpr size_t kMaxMethodBytes = 32;
// What HTTP/1 spends on a field beyond name and value, so that one limit means the same for both.
constexpr size_t kFieldOverhead = 4;

HeadVerdict MalformedHead(std::string_view message) {
  return {Kind::kMalformed, Reason::kBadRequest, message};
}

HeadVerdict Refused(Reason reason, std::string_view message) {
  return {Kind::kRefused, reason, message};
}

// RFC 3986, 3.1.
bool IsScheme(std::string_view text) {
  const auto is_letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  if (text.empty() || !is_letter(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

// RFC 9113, 8.2.2.
bool IsConnectionSpecific(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    default:
      return false;
  }
}

// RFC 9113, 8.2.3: crumbs are one field outside of HTTP/2.
void JoinCookies(Request& request) {
  if (!request.headers.repeated_ids().Contains(HeaderId::kCookie)) return;
  size_t bytes = 0;
  for (const HeaderField& field : request.headers) {
    if (field.id == HeaderId::kCookie) bytes += field.value.size() + 2;
  }
  char* const begin = request.arena->Allocate(bytes);
  char* at = begin;
  for (const HeaderField& field : request.headers) {
    if (field.id != HeaderId::kCookie) continue;
    if (at != begin) {
      *at++ = ';';
      *at++ = ' ';
    }
    at = std::copy(field.value.begin(), field.value.end(), at);
  }
  request.headers.Remove(HeaderId::kCookie);
  request.headers.Add({"cookie", {begin, static_cast<size_t>(at - begin)}, HeaderId::kCookie});
}

}  // namespace

bool RequestHeadReader::Add(std::string_view name, std::string_view value, Request& request) {
  bytes_ += name.size() + value.size() + kFieldOverhead;
  // As in HTTP/1, where the authority is a field and the crumbs of a cookie are one.
  const bool is_pseudo = name.starts_with(':');
  const bool counts = is_pseudo ? name == ":authority" : name != "cookie";
  if (counts) ++fields_;
  if (bytes_ > limits_.max_head_bytes || fields_ > limits_.max_fields) is_too_large_ = true;
  if (is_too_large_) return bytes_ <= kAbsurdFactor * limits_.max_head_bytes;
  if (!problem_.empty()) return true;
  if (!http1::IsFieldValue(value)) {
    Malformed("control character in a field");
  } else if (is_pseudo) {
    AddPseudo(name, value, request);
  } else {
    AddField(name, value, request);
  }
  return true;
}

void RequestHeadReader::AddPseudo(std::string_view name, std::string_view value, Request& request) {
  if (has_regular_) return Malformed("pseudo-field after another field");
  if (name == ":method") {
    if (has_method_) return Malformed("more than one :method");
    has_method_ = true;
    request.method = http::ParseMethod(value);
    request.method_name = request.method == http::Method::kOther ? request.arena->Copy(value)
                                                                 : MethodName(request.method);
  } else if (name == ":path") {
    if (has_path_) return Malformed("more than one :path");
    has_path_ = true;
    // Beyond the limit only its size matters.
    request.target = request.arena->Copy(value.substr(0, limits_.max_target_bytes + 1));
  } else if (name == ":scheme") {
    if (!scheme_.empty()) return Malformed("more than one :scheme");
    if (!IsScheme(value)) return Malformed(":scheme is not a scheme");
    scheme_ = request.arena->Copy(value);
  } else if (name == ":authority") {
    if (authority_.has_value()) return Malformed("more than one :authority");
    authority_ = request.arena->Copy(value);
  } else if (name == ":protocol") {
    if (!protocol_.empty()) return Malformed("more than one :protocol");
    if (!http1::IsToken(value)) return Malformed(":protocol is not a token");
    protocol_ = request.arena->Copy(value);
  } else {
    Malformed("unknown pseudo-field");
  }
}

void RequestHeadReader::AddField(std::string_view name, std::string_view value, Request& request) {
  has_regular_ = true;
  const HeaderId id = http::ClassifyHeader(name);
  if (!http1::IsLowerName(name, id)) {
    return Malformed(http1::IsToken(name) ? "capital letter in a field name"
                                          : "field name is not a token");
  }
  if (IsConnectionSpecific(id)) return Malformed("connection-specific field");
  if (id == HeaderId::kOther && http1::IsImitation(name)) {
    return Malformed("field name with an underscore for a hyphen");
  }
  if (id == HeaderId::kTe && !http::EqualsIgnoreCase(value, "trailers")) {
    return Malformed("TE is not trailers");
  }
  // RFC 9113, 8.2.1: what HTTP/1 would strip, HTTP/2 must not have.
  if (http::TrimOws(value).size() != value.size()) return Malformed("white space around a value");
  request.headers.Add(KeepField(name, value, id, *request.arena));
}

// RFC 8441, 4: as a request with a scheme and a path, but with a tunnel in place of a body.
HeadVerdict RequestHeadReader::CheckConnect(Request& request) const {
  if (protocol_.empty()) {
    if (!scheme_.empty() || has_path_) return MalformedHead("CONNECT with :scheme or :path");
    if (!authority_.has_value() || !http1::IsValidAuthority(*authority_)) {
      return MalformedHead("CONNECT without :authority");
    }
    return Refused(Reason::kNotImplemented, "CONNECT is not supported");
  }
  if (request.method != http::Method::kConnect) return MalformedHead(":protocol without CONNECT");
  if (!authority_.has_value()) return MalformedHead("CONNECT without :authority");
  if (request.headers.Has(HeaderId::kContentLength) || request.headers.Has(HeaderId::kExpect)) {
    return MalformedHead("CONNECT with a field of a body");
  }
  request.method = http::Method::kGet;
  request.method_name = http::MethodName(request.method);
  request.upgrade = protocol_;
  return {};
}

HeadVerdict RequestHeadReader::CheckTarget(Request& request) const {
  if (!http1::IsToken(request.method_name)) return MalformedHead("method is not a token");
  if (request.method_name.size() > kMaxMethodBytes) {
    return Refused(Reason::kNotImplemented, "method is too long");
  }
  if (request.method_name == "PRI") return Refused(Reason::kBadRequest, "method PRI");
  if (request.method == http::Method::kConnect || !protocol_.empty()) {
    const HeadVerdict verdict = CheckConnect(request);
    if (verdict.kind != Kind::kOk) return verdict;
  }
  if (scheme_.empty()) return MalformedHead("no :scheme");
  if (!has_path_ || request.target.empty()) return MalformedHead("no :path");
  if (!http1::AllAre(request.target, http1::kTargetChar)) {
    return MalformedHead("character not allowed in :path");
  }
  if (request.target.size() > limits_.max_target_bytes) {
    return Refused(Reason::kUriTooLong, "target is too long");
  }
  if (request.target.front() != '/' &&
      (request.target != "*" || request.method != http::Method::kOptions)) {
    return MalformedHead(":path does not begin with a slash");
  }
  if (!http::EqualsIgnoreCase(scheme_, "http") && !http::EqualsIgnoreCase(scheme_, "https")) {
    return Refused(Reason::kBadRequest, ":scheme is neither http nor https");
  }
  return {};
}

// One of :authority and Host, or both and the same (RFC 9113, 8.3.1).
HeadVerdict RequestHeadReader::CheckAuthority(Request& request) const {
  if (request.headers.repeated_ids().Contains(HeaderId::kHost)) {
    return MalformedHead("more than one Host");
  }
  const HeaderField* const host = request.headers.Find(HeaderId::kHost);
  if (!authority_.has_value() && host == nullptr) return MalformedHead("no :authority");
  const std::string_view authority = authority_.has_value() ? *authority_ : host->value;
  if (!http1::IsValidAuthority(authority)) return MalformedHead("invalid :authority");
  if (host != nullptr && authority_.has_value()) {
    const bool is_https = http::EqualsIgnoreCase(scheme_, "https");
    if (!http1::IsValidAuthority(host->value) ||
        !http1::IsSameAuthority(authority, host->value, is_https ? "443" : "80")) {
      return MalformedHead("Host differs from :authority");
    }
  }
  if (host == nullptr) request.headers.Add({"host", authority, HeaderId::kHost});
  request.authority = authority;
  return {};
}

HeadVerdict RequestHeadReader::Finish(bool is_ended, Request& request) {
  if (!problem_.empty()) return MalformedHead(problem_);
  if (is_too_large_) return Refused(Reason::kHeadersTooLarge, "head is too large");
  if (!has_method_) return MalformedHead("no :method");
  HeadVerdict verdict = CheckTarget(request);
  if (verdict.kind != Kind::kOk) return verdict;
  verdict = CheckAuthority(request);
  if (verdict.kind != Kind::kOk) return verdict;
  if (request.headers.repeated_ids().Contains(HeaderId::kContentLength)) {
    return MalformedHead("more than one Content-Length");
  }
  if (const HeaderField* field = request.headers.Find(HeaderId::kContentLength)) {
    request.body_length = http1::ParseContentLength(field->value);
    if (!request.body_length.has_value()) return MalformedHead("malformed Content-Length");
    if (is_ended && *request.body_length > 0) return MalformedHead("Content-Length without a body");
  }
  if (request.method == http::Method::kTrace && !is_ended) {
    return MalformedHead("TRACE with a body");  // RFC 9110, 9.3.8
  }
  if (const HeaderField* field = request.headers.Find(HeaderId::kExpect)) {
    if (request.headers.repeated_ids().Contains(HeaderId::kExpect) ||
        !http::EqualsIgnoreCase(field->value, "100-continue")) {
      return Refused(Reason::kBadRequest, "unknown expectation");
    }
    request.expects_continue = !is_ended;
  }
  JoinCookies(request);
  return {};
}

}  // namespace outrigger::http2
