#include "proxy/base/json_pointer.h"

namespace outrigger {

absl::StatusOr<JsonPointer> ParseJsonPointer(std::string_view text) {
  JsonPointer tokens;
  if (text.empty()) return tokens;
  if (text.front() != '/') return absl::InvalidArgumentError("it must begin with '/'");
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '/') {
      tokens.emplace_back();
      continue;
    }
    char c = text[at];
    if (c == '~') {
      const char code = ++at < text.size() ? text[at] : '\0';
      if (code != '0' && code != '1') {
        return absl::InvalidArgumentError("after '~' must come 0 (for '~') or 1 (for '/')");
      }
      c = code == '0' ? '~' : '/';
    }
    tokens.back().push_back(c);
  }
  return tokens;
}

}  // namespace outrigger
