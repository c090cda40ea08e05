// A BIO on a non-blocking descriptor that it does not own. Unlike OpenSSL's own it never raises
// SIGPIPE when the peer has gone.

#pragma once

#include "proxy/tls/openssl.h"

namespace outrigger::tls {

BioPtr NewSocketBio(int fd);

}  // namespace outrigger::tls
