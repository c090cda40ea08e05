// Takes the fields of an HTTP/2 request head and judges them as strictly as the HTTP/1 parser does
// (RFC 9113, 8.2 and 8.3; semantics PR-1): what is accepted here can be written as HTTP/1.1 without
// meaning anything else.
//
//   RequestHeadReader reader(limits);
//   reader.Add(":method", "GET", request);        // for each field, while nghttp2 runs
//   HeadVerdict verdict = reader.Finish(is_ended, request);
//
// Strings are copied into the request's arena. The request ends up as one of HTTP/1 would: Host
// says the authority, cookies are one field, and an extended CONNECT (RFC 8441) is the GET that it
// stands for, with `upgrade` as received; who calls looks whether it is allowed. nghttp2 judges none
// of this for servers (Session): there is no second line of defence. Pure; no allocation but the
// arena's.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/request.h"
#include "proxy/http1/head_parser.h"

namespace outrigger::http2 {

struct HeadVerdict {
  enum class Kind : uint8_t {
    kOk,
    kMalformed,  // reset the stream with PROTOCOL_ERROR (RFC 9113, 8.1.1)
    kRefused,    // well formed; answer with `reason`
  };

  Kind kind = Kind::kOk;
  http::Reason reason = http::Reason::kNone;
  std::string_view message;  // static text
};

class RequestHeadReader {
 public:
  // Of max_head_bytes: from there on a head is not even looked at any more.
  static constexpr size_t kAbsurdFactor = 4;

  explicit RequestHeadReader(const http1::HeadLimits& limits) : limits_(limits) {}

  // False: so much too large that the rest should not be decoded.
  bool Add(std::string_view name, std::string_view value, http::Request& request);
  // After the last field. `is_ended`: nothing follows, not even an empty body.
  HeadVerdict Finish(bool is_ended, http::Request& request);

 private:
  void AddPseudo(std::string_view name, std::string_view value, http::Request& request);
  void AddField(std::string_view name, std::string_view value, http::Request& request);
  void Malformed(std::string_view message) {
    if (problem_.empty()) problem_ = message;
  }
  HeadVerdict CheckConnect(http::Request& request) const;
  HeadVerdict CheckTarget(http::Request& request) const;
  HeadVerdict CheckAuthority(http::Request& request) const;

  const http1::HeadLimits& limits_;
  std::string_view problem_;
  std::string_view scheme_;
  std::string_view protocol_;  // of an extended CONNECT
  std::optional<std::string_view> authority_;
  size_t bytes_ = 0;
  size_t fields_ = 0;
  bool has_method_ = false;
  bool has_path_ = false;
  bool has_regular_ = false;
  bool is_too_large_ = false;
};

}  // namespace outrigger::http2
