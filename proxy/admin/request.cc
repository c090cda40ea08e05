#include "proxy/admin/request.h"

#include <algorithm>
#include <utility>

namespace outrigger::admin {
namespace {

constexpr std::string_view kEndOfHead = "\r\n\r\n";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return Lower(x) == Lower(y); });
}

bool IsToken(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (Lower(c) >= 'a' && Lower(c) <= 'z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

ParseResult Bad(int status, std::string_view problem) {
  return {ParseState::kBad, 0, status, problem};
}

// "method SP target SP HTTP/1.x"; false when it is anything else.
bool ParseRequestLine(std::string_view line, Request& request) {
  const size_t first = line.find(' ');
  if (first == std::string_view::npos) return false;
  const size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return false;
  const std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (!IsToken(method) || target.empty() || target[0] != '/') return false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  request.method = method;
  request.keeps_alive = version == "HTTP/1.1";

  std::string_view query;
  if (const size_t mark = target.find('?'); mark != std::string_view::npos) {
    query = target.substr(mark + 1);
    target = target.substr(0, mark);
  }
  std::optional<std::string> path = PercentDecode(target);
  if (!path.has_value()) return false;
  request.path = std::move(*path);
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    std::optional<std::string> name = PercentDecode(pair.substr(0, equals));
    std::optional<std::string> value =
        PercentDecode(pair.substr(std::min(equals + 1, pair.size())));
    if (!name.has_value() || !value.has_value()) return false;
    if (!name->empty()) request.query.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

std::optional<std::string_view> Request::Query(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

ParseResult ParseRequest(std::string_view bytes, const RequestLimits& limits, Request& request) {
  const size_t end = bytes.substr(0, limits.head_bytes).find(kEndOfHead);
  if (end == std::string_view::npos) {
    if (bytes.size() >= limits.head_bytes) return Bad(431, "request head too large");
    return {};
  }
  std::string_view head = bytes.substr(0, end);
  const bool has_control = std::ranges::any_of(head, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\r' && c != '\n' && c != '\t') ||
           c == 0x7f;
  });
  if (has_control) return Bad(400, "control character");

  request = Request();
  std::optional<size_t> content_length;
  for (bool is_first = true; is_first || !head.empty(); is_first = false) {
    const size_t line_end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, line_end);
    head.remove_prefix(std::min(line_end + 2, head.size()));
    if (line.find_first_of("\r\n") != std::string_view::npos) return Bad(400, "bare CR or LF");
    if (is_first) {
      if (!ParseRequestLine(line, request)) return Bad(400, "malformed request line");
      continue;
    }
    const size_t colon = line.find(':');
    // Also refuses folded lines, whose name would begin with a space.
    if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
      return Bad(400, "malformed header field");
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(colon + 1));
    request.fields.emplace_back(name, value);
    if (EqualsIgnoreCase(name, "content-length")) {
      const bool is_number =
          !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
      if (!is_number || content_length.has_value()) return Bad(400, "bad Content-Length");
      if (value.size() > 9) return Bad(413, "request body too large");
      content_length = std::stoul(std::string(value));
    } else if (EqualsIgnoreCase(name, "transfer-encoding")) {
      return Bad(501, "transfer codings are not supported");
    } else if (EqualsIgnoreCase(name, "connection")) {
      if (EqualsIgnoreCase(value, "close")) request.keeps_alive = false;
    }
  }

  const size_t body_bytes = content_length.value_or(0);
  if (body_bytes > limits.body_bytes) return Bad(413, "request body too large");
  const size_t body_start = end + kEndOfHead.size();
  if (bytes.size() - body_start < body_bytes) return {};
  request.body = bytes.substr(body_start, body_bytes);
  return {ParseState::kDone, body_start + body_bytes, 0, {}};
}

}  // namespace outrigger::admin
