// Owners of OpenSSL's objects, and its error queue as text.
//
//   X509Ptr certificate(PEM_read_bio_X509(...));
//   if (certificate == nullptr) return Error("cannot read the certificate");
//
// OpenSSL keeps errors in a queue of the thread, and what an earlier call left there would be taken
// for the error of a later one: whoever gets an error takes the whole queue.

#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace outrigger::tls {

template <auto kFree>
struct OpensslDeleter {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using SslCtxPtr = std::unique_ptr<SSL_CTX, OpensslDeleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslDeleter<SSL_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, OpensslDeleter<SSL_SESSION_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, OpensslDeleter<BIO_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDeleter<GENERAL_NAMES_free>>;

// The code of the first error of TLS in the queue, else of the first error; the queue is emptied.
// 0: there was none.
unsigned long TakeErrorCode();  // NOLINT: OpenSSL's type
// What OpenSSL says about a code, without its numbers: "certificate verify failed".
std::string ErrorText(unsigned long code);  // NOLINT
// Forgets what earlier calls left, before one whose outcome SSL_get_error() is to judge.
inline void ForgetErrors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}
inline std::string TakeErrorText() { return ErrorText(TakeErrorCode()); }

}  // namespace outrigger::tls
