// Between the views of the bench programs and the bytes of nghttp2. Nothing is copied.

#pragma once

#include <nghttp2/nghttp2.h>

#include <string_view>

namespace outrigger::bench {

// Both must stay where they are until the frame was sent.
inline nghttp2_nv Field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

inline std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace outrigger::bench
