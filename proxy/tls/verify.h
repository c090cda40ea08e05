// The verification that both sides share: OpenSSL checks chain and time, the session's rules the
// names.

#pragma once

#include <openssl/x509_vfy.h>

namespace outrigger::tls {

// For SSL_CTX_set_verify(). A name that is not allowed ends the handshake with an alert, as every
// other fault of a certificate does.
int VerifyPeer(int is_ok, X509_STORE_CTX* store);

}  // namespace outrigger::tls
