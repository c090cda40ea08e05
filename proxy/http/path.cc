#include "proxy/http/path.h"

#include <algorithm>
#include <cstddef>

namespace outrigger::http {
namespace {

constexpr std::string_view kBadEscape = "broken escape in the path";
constexpr std::string_view kBadEscaped = "encoded slash, backslash or NUL in the path";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// RFC 3986, 2.3.
bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

bool IsLower(char c) { return c >= 'a' && c <= 'f'; }

// The byte that `path` escapes at `at`, where the percent sign stands; negative when broken.
int Unescape(std::string_view path, size_t at) {
  if (path.size() - at < 3) return -1;
  const int high = HexDigit(path[at + 1]);
  const int low = HexDigit(path[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Whether the segment that begins at `at` is "." or "..".
bool IsDotSegment(std::string_view path, size_t at) {
  const std::string_view segment = path.substr(at, path.find('/', at) - at);
  return segment == "." || segment == "..";
}

// Checks all of `path`; says whether it has to be rewritten.
std::string_view Inspect(std::string_view path, bool& is_normal) {
  is_normal = true;
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c <= 0x20 || c >= 0x7F) return "character outside visible ASCII in the path";
    switch (c) {
      case '#':
        return "fragment in the target";
      case '\\':
        return "backslash in the path";
      case '%': {
        const int byte = Unescape(path, i);
        if (byte < 0) return kBadEscape;
        if (byte == '/' || byte == '\\' || byte == 0) return kBadEscaped;
        if (IsUnreserved(static_cast<char>(byte)) || IsLower(path[i + 1]) || IsLower(path[i + 2])) {
          is_normal = false;
        }
        break;
      }
      case '/':
        if (i + 1 < path.size() &&
            (path[i + 1] == '/' || (path[i + 1] == '.' && IsDotSegment(path, i + 1)))) {
          is_normal = false;
        }
        break;
      default:
        break;
    }
  }
  return {};
}

// Removes the dot segment that `out`, from `begin` to `end`, may end with; returns the new end,
// behind a slash.
char* CloseSegment(char* begin, char* end) {
  char* segment = end;
  while (segment[-1] != '/') --segment;  // the first byte is a slash
  const std::string_view text(segment, static_cast<size_t>(end - segment));
  if (text == ".") return segment;
  if (text != "..") return end;
  if (segment - begin > 1) {
    --segment;
    while (segment[-1] != '/') --segment;
  }
  return segment;
}

// REQUIRES: Inspect() found nothing wrong.
std::string_view Rewrite(std::string_view path, Arena& arena) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  char* const begin = arena.Allocate(path.size());
  char* end = begin;
  *end++ = '/';
  for (size_t i = 1; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '/') {
      end = CloseSegment(begin, end);
      if (end[-1] != '/') *end++ = '/';
    } else if (c == '%') {
      const int byte = Unescape(path, i);
      i += 2;
      if (IsUnreserved(static_cast<char>(byte))) {
        *end++ = static_cast<char>(byte);
      } else {
        *end++ = '%';
        *end++ = kDigits[static_cast<size_t>(byte) / 16];
        *end++ = kDigits[static_cast<size_t>(byte) % 16];
      }
    } else {
      *end++ = c;
    }
  }
  end = CloseSegment(begin, end);
  return {begin, static_cast<size_t>(end - begin)};
}

}  // namespace

std::string_view NormalizePath(std::string_view target, Arena& arena, NormalPath& out) {
  const size_t question = target.find('?');
  const std::string_view path = target.substr(0, question);
  out.query = question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  if (target == "*") {
    out.path = target;
    return {};
  }
  if (path.empty() || path.front() != '/') return "path does not begin with a slash";
  bool is_normal = false;
  if (std::string_view problem = Inspect(path, is_normal); !problem.empty()) return problem;
  if (std::find(out.query.begin(), out.query.end(), '#') != out.query.end()) {
    return "fragment in the target";
  }
  out.path = is_normal ? path : Rewrite(path, arena);
  return {};
}

}  // namespace outrigger::http
