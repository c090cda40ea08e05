// A received field, kept in an arena: nghttp2 takes back what it showed.
//
// "name: value" and the line end stand there as HTTP/1 would write them, so that fields that were
// received one after the other go to a service of HTTP/1 in one piece (http1/serializer.cc).
//
// REQUIRES: the name is a token without capital letters; the value is one that may be written.

#pragma once

#include <cstring>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/http/headers.h"

namespace outrigger::http2 {

inline http::HeaderField KeepField(std::string_view name, std::string_view value, http::HeaderId id,
                                   Arena& arena) {
  char* const kept_name = arena.Allocate(name.size() + value.size() + 4);
  char* const kept_value = kept_name + name.size() + 2;
  std::memcpy(kept_name, name.data(), name.size());
  std::memcpy(kept_value - 2, ": ", 2);
  if (!value.empty()) std::memcpy(kept_value, value.data(), value.size());
  std::memcpy(kept_value + value.size(), "\r\n", 2);
  return {.name = {kept_name, name.size()},
          .value = {kept_value, value.size()},
          .id = id,
          .is_checked = true,
          .is_lower = true};
}

}  // namespace outrigger::http2
