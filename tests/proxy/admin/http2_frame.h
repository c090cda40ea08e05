// Frames of HTTP/2 (RFC 9113, 4.1), for what a checked service may say.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::admin {

inline std::string Frame(uint8_t type, uint8_t flags, uint8_t stream, std::string_view payload) {
  std::string frame(9, '\0');
  frame[2] = static_cast<char>(payload.size());
  frame[3] = static_cast<char>(type);
  frame[4] = static_cast<char>(flags);
  frame[8] = static_cast<char>(stream);
  return frame.append(payload);
}

}  // namespace outrigger::admin
