// Request methods (RFC 9110, 9) as an enumeration, so that filters compare an integer.
//
//   const Method method = ParseMethod("POST");
//   if (IsIdempotent(method)) ...
//
// Methods are case-sensitive: "get" is kOther. For kOther the text of the request line is the only
// name there is. Any thread.

#pragma once

#include <cstdint>
#include <string_view>

namespace outrigger::http {

enum class Method : uint8_t {
  kOther = 0,
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kOptions,
  kPatch,
  kTrace,
  kConnect,
  kCount,
};

Method ParseMethod(std::string_view text);

// The word on the wire; empty for kOther.
std::string_view MethodName(Method method);

// Whether the method's definition says that sending the request twice is like sending it once
// (RFC 9110, 9.2.2). kOther and kConnect are not.
bool IsIdempotent(Method method);

// Whether the method's definition is read-only (RFC 9110, 9.2.1).
bool IsSafe(Method method);

}  // namespace outrigger::http
