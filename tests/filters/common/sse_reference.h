// The event stream format in the most obvious way, to compare the real parser with.

#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "filters/common/sse_parser.h"

namespace outrigger::common {

// An event with its strings owned.
struct Seen {
  std::string type;
  std::string data;
  std::string id;
  bool has_data = false;
  bool has_id = false;
  bool is_truncated = false;

  bool operator==(const Seen&) const = default;
};

inline void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "{type " << seen.type << ", data " << seen.data.substr(0, 80) << " (" << seen.data.size()
       << "), id " << seen.id << ", " << seen.has_data << seen.has_id << seen.is_truncated << "}";
}

inline Seen ToSeen(const SseEvent& event) {
  return {std::string(event.type),
          std::string(event.data),
          std::string(event.id),
          event.has_data,
          event.has_id,
          event.is_truncated};
}

// The obvious parser: all bytes at once, line by line, as the standard words it.
inline std::vector<Seen> ReferenceParse(std::string text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  std::vector<std::string> lines;
  std::string line;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' || text[i] == '\n') {
      if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
      lines.push_back(line);
      line.clear();
    } else {
      line += text[i];
    }
  }
  std::vector<Seen> events;
  Seen event;
  bool is_empty = true;
  for (const std::string& l : lines) {
    if (l.empty()) {
      if (!is_empty) events.push_back(event);
      event = Seen();
      is_empty = true;
      continue;
    }
    is_empty = false;
    const size_t colon = l.find(':');
    if (colon == 0) continue;
    const std::string field = l.substr(0, colon);
    std::string value = colon == std::string::npos ? "" : l.substr(colon + 1);
    if (value.starts_with(" ")) value.erase(0, 1);
    if (field == "data") {
      if (event.has_data) event.data += '\n';
      event.data += value;
      event.has_data = true;
    } else if (field == "event") {
      event.type = value;
    } else if (field == "id" && value.find('\0') == std::string::npos) {
      event.id = value;
      event.has_id = true;
    }
  }
  return events;
}

}  // namespace outrigger::common
