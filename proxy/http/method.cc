#include "proxy/http/method.h"

#include <cstddef>
#include <iterator>

namespace outrigger::http {
namespace {

constexpr std::string_view kNames[] = {
    "", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
};
static_assert(std::size(kNames) == static_cast<size_t>(Method::kCount));

Method Check(std::string_view text, Method candidate) {
  return text == MethodName(candidate) ? candidate : Method::kOther;
}

}  // namespace

Method ParseMethod(std::string_view text) {
  if (text.size() < 3) return Method::kOther;
  switch (text[0]) {
    case 'G':
      return Check(text, Method::kGet);
    case 'P':
      if (text[1] == 'O') return Check(text, Method::kPost);
      return Check(text, text[1] == 'U' ? Method::kPut : Method::kPatch);
    case 'H':
      return Check(text, Method::kHead);
    case 'D':
      return Check(text, Method::kDelete);
    case 'O':
      return Check(text, Method::kOptions);
    case 'T':
      return Check(text, Method::kTrace);
    case 'C':
      return Check(text, Method::kConnect);
    default:
      return Method::kOther;
  }
}

std::string_view MethodName(Method method) { return kNames[static_cast<size_t>(method)]; }

bool IsIdempotent(Method method) {
  return IsSafe(method) || method == Method::kPut || method == Method::kDelete;
}

bool IsSafe(Method method) {
  return method == Method::kGet || method == Method::kHead || method == Method::kOptions ||
         method == Method::kTrace;
}

}  // namespace outrigger::http
