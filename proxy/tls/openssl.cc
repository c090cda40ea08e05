#include "proxy/tls/openssl.h"

#include <openssl/err.h>

#include <cstring>
#include <system_error>

namespace outrigger::tls {

unsigned long TakeErrorCode() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  return code;
}

std::string ErrorText(unsigned long code) {
  if (code == 0) return "unknown error";
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown error";
}

}  // namespace outrigger::tls
