#include "proxy/tls/certificate.h"

#include <fmt/format.h>
#include <openssl/pem.h>

#include <cerrno>
#include <ctime>
#include <fstream>
#include <system_error>

namespace outrigger::tls {
namespace {

constexpr std::streamsize kMaxFileBytes = 1 << 20;
// What the SPIFFE ID standard allows an id to be long.
constexpr size_t kMaxNameBytes = 2048;
constexpr size_t kMaxNames = 64;

// Wipes what it held: it may have been a key.
class FileText {
 public:
  FileText() = default;
  FileText(FileText&&) = default;
  FileText& operator=(FileText&&) = default;
  ~FileText() { OPENSSL_cleanse(text.data(), text.size()); }

  BioPtr NewBio() const {
    return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  }

  std::vector<char> text;
};

absl::StatusOr<FileText> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  FileText content;
  content.text.resize(kMaxFileBytes + 1);
  if (!file.is_open() || !(file.read(content.text.data(), kMaxFileBytes + 1) || file.eof())) {
    return absl::UnavailableError(fmt::format(
        "cannot read {}: {}", path, std::generic_category().message(errno != 0 ? errno : EIO)));
  }
  if (file.gcount() > kMaxFileBytes) {
    return absl::InvalidArgumentError(fmt::format("{} is larger than 1 MiB", path));
  }
  content.text.resize(static_cast<size_t>(file.gcount()));
  return content;
}

// Instead of OpenSSL's own, which would ask at the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

void AddName(const ASN1_IA5STRING* text, std::vector<std::string>& names) {
  const std::string_view name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                              static_cast<size_t>(ASN1_STRING_length(text)));
  if (name.size() > kMaxNameBytes || names.size() == kMaxNames || !IsPlainName(name)) return;
  names.emplace_back(name);
}

}  // namespace

absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(const std::string& path) {
  absl::StatusOr<FileText> file = ReadFile(path);
  if (!file.ok()) return file.status();
  const BioPtr bio = file->NewBio();
  std::vector<X509Ptr> certificates;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const unsigned long code = TakeErrorCode();
  const bool is_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (!is_end) {
    return absl::InvalidArgumentError(
        fmt::format("{} has a broken certificate: {}", path, ErrorText(code)));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(fmt::format("{} has no certificate in PEM form", path));
  }
  return certificates;
}

absl::StatusOr<PkeyPtr> ReadPrivateKey(const std::string& path) {
  absl::StatusOr<FileText> file = ReadFile(path);
  if (!file.ok()) return file.status();
  const BioPtr bio = file->NewBio();
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(fmt::format(
        "{} has no private key in PEM form without a password: {}", path, TakeErrorText()));
  }
  ERR_clear_error();
  return key;
}

SubjectNames NamesOf(const X509& certificate) {
  SubjectNames names;
  const GeneralNamesPtr found(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; found != nullptr && i < sk_GENERAL_NAME_num(found.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(found.get(), i);
    if (name->type == GEN_URI) AddName(name->d.uniformResourceIdentifier, names.uris);
    if (name->type == GEN_DNS) AddName(name->d.dNSName, names.dns);
  }
  return names;
}

absl::Time NotAfter(const X509& certificate) {
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &time) != 1) {
    ERR_clear_error();
    return absl::InfinitePast();
  }
  return absl::FromTM(time, absl::UTCTimeZone());
}

bool IsValidNow(const X509& certificate) {
  // Negative: in the past. Zero would be an error.
  return X509_cmp_current_time(X509_get0_notBefore(&certificate)) < 0 &&
         X509_cmp_current_time(X509_get0_notAfter(&certificate)) > 0;
}

std::string ForwardedElement(const X509& certificate, const SubjectNames& names) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  std::string element;
  if (X509_digest(&certificate, EVP_sha256(), digest, &size) == 1) {
    element = "Hash=";
    for (unsigned int i = 0; i < size; ++i) element += fmt::format("{:02x}", digest[i]);
  }
  for (const std::string& uri : names.uris) element += fmt::format(";URI={}", uri);
  for (const std::string& dns : names.dns) element += fmt::format(";DNS={}", dns);
  return element;
}

}  // namespace outrigger::tls
