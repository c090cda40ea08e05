#include "tests/proxy/tls/authority.h"

#include <openssl/pem.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace outrigger::tls {
namespace {

void Check(bool is_ok) {
  if (!is_ok) throw std::runtime_error(TakeErrorText());
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(bio, &data));
  return {data, size};
}

std::string ToPem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  Check(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return TextOf(bio.get());
}

std::string ToPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  Check(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return TextOf(bio.get());
}

PkeyPtr NewKey() {
  PkeyPtr key(EVP_EC_gen("P-256"));
  Check(key != nullptr);
  return key;
}

void AddExtension(X509& certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &certificate, &certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  Check(extension != nullptr);
  X509_add_ext(&certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509Ptr NewCertificate(const Authority::Request& request, EVP_PKEY* key, X509_NAME* issuer) {
  static std::atomic<long> serial{1};  // NOLINT: OpenSSL's type
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), request.begins_in_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), request.ends_in_seconds);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(request.name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(certificate.get(), issuer != nullptr ? issuer : name);
  Check(X509_set_pubkey(certificate.get(), key) == 1);
  if (!request.san.empty()) AddExtension(*certificate, NID_subject_alt_name, request.san);
  return certificate;
}

}  // namespace

Authority::Authority(const std::string& name) : key_(NewKey()) {
  certificate_ = NewCertificate({.name = name, .san = ""}, key_.get(), nullptr);
  AddExtension(*certificate_, NID_basic_constraints, "critical,CA:TRUE");
  Check(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0);
  pem_ = ToPem(certificate_.get());
}

Issued Authority::Issue(const Request& request) const {
  const PkeyPtr key = NewKey();
  const X509Ptr certificate =
      NewCertificate(request, key.get(), X509_get_subject_name(certificate_.get()));
  Check(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0);
  return {ToPem(certificate.get()), ToPem(key.get())};
}

X509Ptr ParseCertificate(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  Check(certificate != nullptr);
  return certificate;
}

Folder::Folder() {
  std::string path = (std::filesystem::temp_directory_path() / "outrigger-tls-XXXXXX").string();
  Check(mkdtemp(path.data()) != nullptr);
  path_ = path;
}

Folder::~Folder() { std::filesystem::remove_all(path_); }

std::string Folder::Write(const std::string& name, const std::string& text) const {
  const std::string path = Path(name);
  std::ofstream(path + ".new", std::ios::binary) << text;
  std::filesystem::rename(path + ".new", path);
  return path;
}

}  // namespace outrigger::tls
