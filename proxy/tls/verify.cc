#include "proxy/tls/verify.h"

#include "proxy/tls/session.h"

namespace outrigger::tls {

int VerifyPeer(int is_ok, X509_STORE_CTX* store) {
  if (is_ok == 0 || X509_STORE_CTX_get_error_depth(store) != 0) return is_ok;
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  if (Session::Of(ssl)->Allows(*X509_STORE_CTX_get_current_cert(store))) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

}  // namespace outrigger::tls
