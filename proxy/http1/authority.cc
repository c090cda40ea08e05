#include "proxy/http1/authority.h"

#include <cstddef>
#include <cstdint>

#include "proxy/http/headers.h"
#include "proxy/http1/chars.h"

namespace outrigger::http1 {
namespace {

struct Authority {
  std::string_view host;
  std::string_view port;  // may be empty
};

Authority Split(std::string_view text) {
  // The colon of the port is the last one, but for those inside of brackets.
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.back() == ']') return {text, {}};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

bool IsValidPort(std::string_view port) {
  uint32_t value = 0;
  for (char c : port) {
    if (!Is(c, kDigitChar)) return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
    if (value > 65535) return false;
  }
  return true;
}

bool IsValidLiteral(std::string_view host) {
  if (host.size() < 4 || host.back() != ']') return false;  // "[::]" is the shortest
  for (char c : host.substr(1, host.size() - 2)) {
    if (!Is(c, kHexChar) && c != ':' && c != '.') return false;
  }
  return host.find(':') != std::string_view::npos;
}

bool IsValidName(std::string_view host) {
  if (AllAre(host, kHostChar)) return true;  // no escapes, as nearly always
  for (size_t i = 0; i < host.size(); ++i) {
    if (Is(host[i], kHostChar)) continue;
    if (host[i] != '%' || host.size() - i < 3 || !Is(host[i + 1], kHexChar) ||
        !Is(host[i + 2], kHexChar)) {
      return false;
    }
    i += 2;
  }
  return true;
}

}  // namespace

bool IsValidAuthority(std::string_view text) {
  if (text.empty()) return false;
  const auto [host, port] = Split(text);
  if (host.empty() || !IsValidPort(port)) return false;
  return host.front() == '[' ? IsValidLiteral(host) : IsValidName(host);
}

bool IsSameAuthority(std::string_view a, std::string_view b, std::string_view default_port) {
  const Authority left = Split(a);
  const Authority right = Split(b);
  const std::string_view left_port = left.port.empty() ? default_port : left.port;
  const std::string_view right_port = right.port.empty() ? default_port : right.port;
  return left_port == right_port && http::EqualsIgnoreCase(left.host, right.host);
}

}  // namespace outrigger::http1
