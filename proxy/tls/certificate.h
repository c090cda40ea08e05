// What is read from certificates: files of them, names, and their end.
//
//   absl::StatusOr<std::vector<X509Ptr>> chain = ReadCertificates("/certs/tls.crt");
//   SubjectNames names = NamesOf(*chain->front());
//
// Files are PEM and of at most 1 MiB. Errors name the file and say what is wrong with it, never
// what stands in it. Any thread; reading blocks.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/tls/openssl.h"
#include "proxy/tls/san_rule.h"

namespace outrigger::tls {

// At least one.
absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(const std::string& path);
// A key that needs a password is an error: nobody could be asked.
absl::StatusOr<PkeyPtr> ReadPrivateKey(const std::string& path);

// Names with anything but plain characters are left out (IsPlainName), and so are those beyond 64.
SubjectNames NamesOf(const X509& certificate);
absl::Time NotAfter(const X509& certificate);
bool IsValidNow(const X509& certificate);

// `Hash=<SHA-256 of the certificate>;URI=...;DNS=...`, as Envoy and Istio write it.
std::string ForwardedElement(const X509& certificate, const SubjectNames& names);

}  // namespace outrigger::tls
