// What the connections of one listener or upstream share: certificate, key, trust. Made of files,
// which are loaded again when they change.
//
//   ServerContext context({.cert = "/certs/tls.crt", .key = "/certs/tls.key"}, ...);
//   absl::Status status = context.Load();                 // before the first connection
//   if (auto result = context.LoadIfChanged()) ...        // about once a second
//
// Files that cannot be used, or a certificate that has expired, never replace what is in use (E.2
// 9): an error leaves everything as it was. New connections get what was loaded last; those that
// are open keep theirs. The files are compared by what stat() says of the file itself, so that the
// swap of Kubernetes' `..data` link is seen, and a change while they are read is seen the next
// time.
//
// Load(), LoadIfChanged() and Use() are called by one thread, all else by any.

#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/base/file_stamp.h"
#include "proxy/tls/openssl.h"
#include "proxy/tls/san_rule.h"

namespace outrigger::tls {

// What this side shows, when it does not come from files.
struct OwnCertificate {
  std::vector<X509Ptr> chain;  // its own first
  PkeyPtr key;
};

struct Files {
  std::string cert;  // with the chain behind it; empty: this side shows none
  std::string key;
  std::string ca;  // whom the peer's certificate must come from; empty: see the context
};

class Context {
 public:
  explicit Context(Files files) : files_(std::move(files)) {}
  virtual ~Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Errors: name the file and say what is wrong.
  absl::Status Load();
  // Nothing when no file has changed since the last call.
  std::optional<absl::Status> LoadIfChanged();
  // The same with a certificate that this process has. REQUIRES: no file of one was named.
  absl::Status Use(const OwnCertificate& own);

  // When the certificate in use ends; nothing when there is none.
  std::optional<absl::Time> not_after() const;
  const Files& files() const { return files_; }

 protected:
  // What is loaded at a time; lives as long as its connections.
  struct Generation {
    virtual ~Generation() = default;
    SslCtxPtr ctx;
    std::optional<absl::Time> not_after;
  };

  // Sets up what only this kind of context needs; `ca` is empty when no file was named.
  virtual absl::StatusOr<std::unique_ptr<Generation>> Make(const std::vector<X509Ptr>& ca) = 0;
  // REQUIRES: loaded.
  std::shared_ptr<Generation> current() const;
  // Trusts these and nobody else.
  static absl::Status Trust(SSL_CTX& ctx, const std::vector<X509Ptr>& ca);

 private:
  std::vector<FileStamp> Stamps() const;
  // `own` null: the one of the files, if they name one.
  absl::StatusOr<std::shared_ptr<Generation>> Build(const OwnCertificate* own);
  absl::Status TakeOver(const OwnCertificate* own);
  absl::StatusOr<OwnCertificate> ReadOwn() const;
  // `what` names it in errors.
  static absl::Status Install(Generation& generation, const OwnCertificate& own,
                              const std::string& what);

  const Files files_;
  std::vector<FileStamp> stamps_;
  mutable std::mutex mutex_;  // guards current_
  std::shared_ptr<Generation> current_;
};

}  // namespace outrigger::tls
