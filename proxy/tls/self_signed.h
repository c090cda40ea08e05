// A certificate of a server that vouches for itself, for peers who are told of it directly: it is
// no authority, and nothing else can be signed with its key.
//
//   absl::StatusOr<SelfSigned> made = MakeSelfSigned({.name = "pod-1", .dns = {"a.b.svc"}});
//   context.Use(made->own);          // the server
//   Publish(made->pem);              // whom the clients trust
//
// The key is of P-256 and never leaves the process. Any thread.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/tls/context.h"

namespace outrigger::tls {

struct SelfSignedRequest {
  std::string name;              // the subject's common name: 1 to 64 bytes
  std::vector<std::string> dns;  // at least one, of the letters of host names
  absl::Duration lifetime = absl::Hours(24 * 30);
  absl::Time now;
};

struct SelfSigned {
  OwnCertificate own;
  std::string pem;  // of the certificate
};

// InvalidArgument: a name that cannot be one.
absl::StatusOr<SelfSigned> MakeSelfSigned(const SelfSignedRequest& request);

}  // namespace outrigger::tls
