#include "proxy/tls/openssl.h"

#include <openssl/err.h>

#include <cstring>
#include <system_error>

namespace outrigger::tls {

unsigned long TakeErrorCode() {
  unsigned long code = 0;  // NOLINT: OpenSSL's type
  // What TLS makes of an error stands behind what led to it.
  while (const unsigned long next = ERR_get_error()) {  // NOLINT
    if (code == 0 || (ERR_GET_LIB(next) == ERR_LIB_SSL && ERR_GET_LIB(code) != ERR_LIB_SSL)) {
      code = next;
    }
  }
  return code;
}

std::string ErrorText(unsigned long code) {
  if (code == 0) return "unknown error";
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown error";
}

}  // namespace outrigger::tls
