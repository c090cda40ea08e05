#include "proxy/tls/self_signed.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/pem.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"

namespace outrigger::tls {
namespace {

constexpr size_t kMaxCommonName = 64;  // RFC 5280, ub-common-name
constexpr size_t kMaxHostName = 253;
constexpr int kSerialBits = 127;  // positive, and at most 20 bytes
// For clients whose clocks are behind.
constexpr absl::Duration kClockSkew = absl::Hours(1);

using BignumPtr = std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslDeleter<X509_EXTENSION_free>>;

bool IsHostName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxHostName &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.'; });
}

bool Extend(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool SetSerial(X509* certificate) {
  const BignumPtr number(BN_new());
  return number != nullptr &&
         BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool SetTimes(X509* certificate, absl::Time begin, absl::Time end) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(begin)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(end)) != nullptr;
}

bool SetNames(X509* certificate, const SelfSignedRequest& request) {
  X509_NAME* name = X509_get_subject_name(certificate);
  std::string alternatives;
  for (const std::string& dns : request.dns) {
    alternatives += fmt::format("{}DNS:{}", alternatives.empty() ? "" : ",", dns);
  }
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(request.name.data()),
                                    static_cast<int>(request.name.size()), -1, 0) == 1 &&
         X509_set_issuer_name(certificate, name) == 1 &&
         Extend(certificate, NID_subject_alt_name, alternatives);
}

bool Build(X509* certificate, EVP_PKEY* key, const SelfSignedRequest& request) {
  return X509_set_version(certificate, X509_VERSION_3) == 1 && SetSerial(certificate) &&
         SetTimes(certificate, request.now - kClockSkew, request.now + request.lifetime) &&
         X509_set_pubkey(certificate, key) == 1 && SetNames(certificate, request) &&
         Extend(certificate, NID_subject_key_identifier, "hash") &&
         // Tells it from its successor, which has the same name.
         Extend(certificate, NID_authority_key_identifier, "keyid:always") &&
         Extend(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         Extend(certificate, NID_ext_key_usage, "serverAuth") &&
         X509_sign(certificate, key, EVP_sha256()) > 0;
}

}  // namespace

absl::StatusOr<SelfSigned> MakeSelfSigned(const SelfSignedRequest& request) {
  if (request.name.empty() || request.name.size() > kMaxCommonName) {
    return absl::InvalidArgumentError(
        fmt::format("the name {} of a certificate is not of 1 to 64 bytes", request.name));
  }
  if (request.dns.empty()) return absl::InvalidArgumentError("a certificate needs a host name");
  for (const std::string& dns : request.dns) {
    if (!IsHostName(dns)) {
      return absl::InvalidArgumentError(fmt::format("{} is not a host name", dns));
    }
  }
  SelfSigned made;
  made.own.key.reset(EVP_EC_gen("P-256"));
  X509Ptr certificate(X509_new());
  const BioPtr text(BIO_new(BIO_s_mem()));
  if (made.own.key == nullptr || certificate == nullptr || text == nullptr ||
      !Build(certificate.get(), made.own.key.get(), request) ||
      PEM_write_bio_X509(text.get(), certificate.get()) != 1) {
    return absl::InternalError(fmt::format("cannot make a certificate: {}", TakeErrorText()));
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);  // NOLINT: OpenSSL's type
  made.pem.assign(data, static_cast<size_t>(size));
  made.own.chain.push_back(std::move(certificate));
  return made;
}

}  // namespace outrigger::tls
