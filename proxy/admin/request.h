// The small, strict part of HTTP/1.1 that probes, Prometheus and curl speak to the admin port.
//
//   Request request;
//   ParseResult result = ParseRequest(bytes, limits, request);
//   if (result.state == ParseState::kDone) Consume(result.consumed);
//
// A parser of its own, apart from the data path's, so that a fault in one does not silence the
// other. Only what is unambiguous is accepted (RFC 9112): no bodies but with Content-Length, no
// folded lines, no bare line feeds. Pure; does not keep `bytes`.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::admin {

struct Request {
  std::string method;
  std::string path;  // percent-decoded, begins with '/'
  std::vector<std::pair<std::string, std::string>> query;
  std::vector<std::pair<std::string, std::string>> fields;  // as they came, but for outer spaces
  std::string body;
  bool keeps_alive = true;
  // Set by the server.
  bool is_from_loopback = false;
  uint64_t client = 0;  // tells connections apart

  // The value of a query parameter, empty for a bare `?name`; nothing when absent.
  std::optional<std::string_view> Query(std::string_view name) const;
};

struct RequestLimits {
  size_t head_bytes = 8 * 1024;
  size_t body_bytes = 4 * 1024;
};

enum class ParseState : uint8_t { kNeedMore, kDone, kBad };

struct ParseResult {
  ParseState state = ParseState::kNeedMore;
  size_t consumed = 0;       // kDone
  int status = 400;          // kBad: what to answer before closing
  std::string_view problem;  // kBad: static text
};

ParseResult ParseRequest(std::string_view bytes, const RequestLimits& limits, Request& request);

// Nothing when a '%' is not followed by two hexadecimal digits.
std::optional<std::string> PercentDecode(std::string_view text);

}  // namespace outrigger::admin
