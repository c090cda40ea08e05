// Certificates for the tests, made while they run.
//
//   Authority ca("ca");
//   Issued server = ca.Issue({.san = "DNS:localhost"});
//   std::string path = folder.Write("tls.crt", server.cert);
//
// Errors fail the test by throwing, which ends it.

#pragma once

#include <string>

#include "proxy/tls/openssl.h"

namespace outrigger::tls {

// PEM.
struct Issued {
  std::string cert;
  std::string key;
};

class Authority {
 public:
  struct Request {
    std::string name = "peer";
    std::string san = "DNS:localhost,IP:127.0.0.1";  // as in openssl.cnf; empty: none
    long begins_in_seconds = -3600;                  // NOLINT: OpenSSL's type
    long ends_in_seconds = 86400;                    // NOLINT
  };

  explicit Authority(const std::string& name);

  Issued Issue(const Request& request) const;
  const std::string& cert() const { return pem_; }

 private:
  PkeyPtr key_;
  X509Ptr certificate_;
  std::string pem_;
};

X509Ptr ParseCertificate(const std::string& pem);

// A folder that goes with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  // Replaces the file as a whole, by a rename. Returns its path.
  std::string Write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};

}  // namespace outrigger::tls
